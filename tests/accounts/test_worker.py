from __future__ import annotations

import asyncio
import json
import time

from aiokafka import AIOKafkaConsumer, TopicPartition

from accounts.domain.audit import Actor
from accounts.settings import Settings
from accounts.usecases.found_organisation import found_organisation
from accounts.worker import run
from common.db import Database
from tests.accounts.db.test_row_security import a_founder
from tests.support.clock import NOON


async def test_a_founded_organisation_reaches_the_topic_keyed_by_its_id(
    kafka: str, settings: Settings, db: Database
) -> None:
    prefix = f"accounts-worker-{time.monotonic_ns()}."
    own = settings.model_copy(update={"kafka_bootstrap_servers": kafka, "kafka_topic_prefix": prefix})
    stop = asyncio.Event()
    worker = asyncio.create_task(run(own, stop))
    try:
        ada, acme = await a_founder(db, "ada")
        async with db.begin() as session:
            actor = Actor(user_id=ada.id, network=None)
            await found_organisation(session, actor=actor, slug="beta", name="Beta", now=NOON)
        found = await asyncio.wait_for(_read(kafka, f"{prefix}accounts.organisation.v1", count=2), 30)
    finally:
        stop.set()
        await asyncio.wait_for(worker, 20)
    assert sorted(payload["slug"] for payload in found.values()) == ["ada", "beta"]
    assert found[str(acme.id)]["status"] == "active"


async def _read(servers: str, topic: str, *, count: int) -> dict[str, dict[str, str]]:
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False)
    await consumer.start()
    try:
        while not (partitions := consumer.partitions_for_topic(topic)):
            await consumer._client.force_metadata_update()
            consumer._client.add_topic(topic)
            await asyncio.sleep(0.1)
        consumer.assign([TopicPartition(topic, number) for number in partitions])
        await consumer.seek_to_beginning()
        found: dict[str, dict[str, str]] = {}
        while len(found) < count:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found |= {record.key.decode(): json.loads(record.value) for record in records}
        return found
    finally:
        await consumer.stop()
