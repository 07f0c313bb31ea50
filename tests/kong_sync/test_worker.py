"""From events on a broker to a working key: the worker as shipped."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from common.ids import derived_id, new_id
from kong_sync.settings import Settings
from kong_sync.worker import SUBSCRIPTIONS, run
from tests.kong_sync.consumers.test_events import API, KEY, SUBSCRIPTION, VERSION
from tests.kong_sync.stage import Stage
from tests.support.outbox import outbox_events


@pytest.mark.concurrent
async def test_events_become_a_working_key_and_then_a_stopped_one(
    stage: Stage, settings: Settings, kafka: str
) -> None:
    prefix = f"{new_id().hex[:8]}."
    working = settings.model_copy(update={"kafka_bootstrap_servers": kafka, "kafka_topic_prefix": prefix})
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()

    async def send(topic: str, payload: dict[str, Any], key: str) -> None:
        event_id = str(derived_id(topic, key, str(payload["version"])))
        await producer.send_and_wait(
            prefix + topic, json.dumps(payload).encode(), key=key.encode(), headers=[("ce_id", event_id.encode())]
        )  # fmt: skip

    api = {**API, "api_id": stage.api.id, "provider_slug": stage.slug, "base_url": stage.upstream.url}
    version = {**VERSION, "version_id": stage.version.id, "api_id": stage.api.id}
    subscription = {**SUBSCRIPTION, "subscription_id": stage.subscription.id, "api_id": stage.api.id}
    key = {
        **KEY,
        "key_id": stage.credential.id,
        "subscription_id": stage.subscription.id,
        "sha256": stage.credential.sha256,
    }
    for topic in (
        s.model.topic for s in SUBSCRIPTIONS
    ):  # an embedded broker makes a topic with its first record
        await producer.send_and_wait(prefix + topic, b"{}", key=b"made")
    stop = asyncio.Event()
    worker = asyncio.create_task(run(working, stop))
    try:
        await send("subscriptions.key.v1", key, stage.credential.id)
        await send("subscriptions.subscription.v1", subscription, stage.subscription.id)
        await send("catalog.version.v1", version, stage.version.id)
        await send("catalog.api.v1", api, stage.api.id)
        await _until(stage, 200)
        paused = subscription | {"version": 4, "status": "paused"}
        await send("subscriptions.subscription.v1", paused, stage.subscription.id)
        await _until(stage, 403)
    finally:
        stop.set()
        await asyncio.wait_for(worker, 15)
        await producer.stop()
    told = await outbox_events(stage.db, "kong-sync.api.v1")
    assert [event["payload"]["state"] for event in told][-1] == "live"


async def _until(stage: Stage, status: int) -> None:
    async with asyncio.timeout(20):
        while (await stage.call()).status_code != status:
            await asyncio.sleep(0.1)
