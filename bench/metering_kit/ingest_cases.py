"""Ingest, what it is compared with, and the whole path behind it."""

from __future__ import annotations

import sys

from bench.metering_kit.calls import NAMESPACE
from bench.metering_kit.post import TOKEN
from bench.metering_kit.run import Bench, Took, listening
from bench.metering_kit.servers import cpu_seconds, end
from devstack.embedded import ports
from devstack.embedded.databases import DatabaseUrls


async def parse_only(bench: Bench) -> Took:
    """A server that only parses what is posted."""
    port = ports.free_port()
    return await _posted(bench, [sys.executable, "-m", "bench.metering_kit.parse_only", str(port)], port)


async def ingest(bench: Bench) -> Took:
    """The shipped API, which acknowledges what Kafka acknowledged."""
    port, urls = ports.free_port(), await bench.servers.database()
    command = [sys.executable, "-m", "common.serve", "metering", "--port", str(port)]
    took = await _posted(bench, command, port, environment(bench, urls))
    await bench.servers.drop(urls)
    return took


async def _posted(
    bench: Bench, command: list[str], port: int, environment: dict[str, str] | None = None
) -> Took:
    server = bench.servers.spawn(command, name="server", environment=environment)
    bench.servers.running["server"] = server
    try:
        await listening(server, port)
        poster = [sys.executable, "-m", "bench.metering_kit.post", "--port", str(port)]
        await bench.child([*poster, "--calls", "4000"], name="post")  # connects to Kafka, fills caches
        before = cpu_seconds(server.pid)
        took = await bench.child([*poster, "--calls", str(bench.calls // 4)], name="post")
        return {**took, "cpu": cpu_seconds(server.pid) - before}
    finally:
        end(server)
        del bench.servers.running["server"]


def environment(bench: Bench, urls: DatabaseUrls) -> dict[str, str]:
    """Settings of the shipped processes, with a topic of their own."""
    return {
        "DATABASE_URL": urls.api, "DATABASE_WORKER_URL": urls.worker,
        "KAFKA_BOOTSTRAP_SERVERS": bench.servers.kafka, "KAFKA_TOPIC_PREFIX": f"{urls.api.rsplit('/', 1)[1]}.",
        "REDIS_URL": "redis://127.0.0.1:1", "TOKEN_ISSUER": "https://bench.invalid",
        "JWKS_URL": "https://bench.invalid/jwks", "METERING_INGEST_TOKEN": TOKEN,
        "METERING_NAMESPACE": NAMESPACE, "LOG_LEVEL": "WARNING",
    }  # fmt: skip


async def path(bench: Bench, seconds: float) -> Took:
    """Ingest, broker, worker and PostgreSQL at once, as fast as they go with at most 100,000 calls waiting."""
    port, urls = ports.free_port(), await bench.servers.database()
    settings = environment(bench, urls)
    api = [sys.executable, "-m", "common.serve", "metering", "--port", str(port)]
    for name, command in (("api", api), ("worker", [sys.executable, "-m", "metering.worker"])):
        bench.servers.running[name] = bench.servers.spawn(command, name=name, environment=settings)
    started = dict(bench.servers.running)
    await listening(started["api"], port)
    before = {name: cpu_seconds(process.pid) for name, process in started.items()}
    poster = [sys.executable, "-m", "bench.metering_kit.post", "--port", str(port)]
    took = await bench.child([*poster, "--seconds", str(seconds), "--database", urls.superuser], name="post")
    spent = {f"cpu_{name}": cpu_seconds(process.pid) - before[name] for name, process in started.items()}
    for name in ("worker", "api"):
        end(bench.servers.running.pop(name))
    await bench.servers.drop(urls)
    return {**took, **spent}
