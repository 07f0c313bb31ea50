import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from devstack import kafka_apache
from tests.devstack.programs import free_port

CACHE = Path.home() / ".cache" / "marketplace"


def _needs_kafka() -> None:
    reason = kafka_apache.available(CACHE)
    if reason:
        pytest.skip(reason)


@asynccontextmanager
async def _running(data: Path, port: int, controller_port: int) -> AsyncIterator[subprocess.Popen[bytes]]:
    with (data / "stderr.log").open("ab") as log:
        process = subprocess.Popen(
            kafka_apache.command(CACHE, data, port, controller_port), stdout=log, stderr=log
        )
    try:
        await kafka_apache.wait_ready(port)
        yield process
    finally:
        process.kill()
        process.wait()


async def _produce(port: int, topic: str, *values: bytes) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=f"127.0.0.1:{port}",
        acks="all",
        enable_idempotence=True,
        max_request_size=kafka_apache.MAX_MESSAGE_BYTES,
    )
    async with producer:
        for value in values:
            await producer.send_and_wait(topic, value, partition=0)


async def _consume(port: int, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=f"127.0.0.1:{port}", enable_auto_commit=False)
    async with consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        return [(await consumer.getone()).value for _ in range(count)]


async def _cluster(port: int, topic: str) -> tuple[str, int]:
    """The cluster's id and the topic's number of partitions, as a client learns them."""
    admin = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{port}")
    await admin.start()
    try:
        described = (await admin.describe_topics([topic]))[0]
        return str((await admin.describe_cluster())["cluster_id"]), len(described["partitions"])
    finally:
        await admin.close()


async def test_records_and_the_cluster_id_survive_kill_9(tmp_path: Path) -> None:
    _needs_kafka()
    port, controller_port = free_port(), free_port()
    large = b"x" * 3_000_000
    async with _running(tmp_path, port, controller_port):
        await _produce(port, "orders", b"one", large)
        before = await _cluster(port, "orders")
    async with _running(tmp_path, port, controller_port) as process:
        assert await _consume(port, "orders", 2) == [b"one", large]
        assert await _cluster(port, "orders") == before == (kafka_apache.cluster_id(tmp_path), 4)
        await _produce(port, "orders", b"two")
        assert await _consume(port, "orders", 3) == [b"one", large, b"two"]
        process.terminate()
        assert process.wait(timeout=20) in (0, 143)


async def test_a_broker_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with pytest.raises(kafka_apache.KafkaUnavailable, match="not ready"):
        await kafka_apache.wait_ready(free_port(), timeout_seconds=0.5)


def test_why_kafka_cannot_run_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert kafka_apache.available() == "there is no `java` on the PATH"
    old = tmp_path / "java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    old.chmod(0o755)
    assert "Java 17 or newer" in (kafka_apache.available() or "")
    old.write_text("#!/bin/sh\necho 'openjdk version \"21.0.2\" 2024-01-16' >&2\n")
    assert kafka_apache.available() == "there is no `mvn` on the PATH to fetch the jars with"
    (tmp_path / f"apache-kafka-{kafka_apache.VERSION}" / "lib").mkdir(parents=True)
    assert kafka_apache.available(tmp_path) is None


def test_the_cluster_id_is_made_once(tmp_path: Path) -> None:
    made = kafka_apache.cluster_id(tmp_path)
    assert len(made) == 22
    assert kafka_apache.cluster_id(tmp_path) == made
