from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi import FastAPI

from common.db import Database
from metering.consumers.version import VersionEvent, on_version
from metering.main import create_app
from metering.settings import Settings
from metering.worker import fold_pending
from tests.metering.api.usage.asking import OTHER_API, OTHER_PROVIDER, OTHER_SUBSCRIPTION
from tests.metering.factories import (
    API,
    ENDPOINT,
    OTHER_ORG,
    VERSION,
    an_entry,
)
from tests.metering.recording import NOW, Recorder, folded, minutes_ago
from tests.metering.usecases.test_quotas import subscribe
from tests.support.clock import FixedClock
from tests.support.tokens import TokenMaker


@pytest.fixture
async def app(make_settings: Callable[..., Settings], clock: FixedClock, tokens: TokenMaker) -> FastAPI:
    """Without Kafka: reading usage needs none."""
    application = create_app(make_settings(KAFKA_TOPIC_PREFIX=""), clock=clock)
    application.state.verifier = tokens.verifier
    return application


@pytest.fixture
async def recorded(worker_db: Database) -> None:
    """Five calls of ours and one of others, who share neither consumer nor provider with us."""
    endpoints = [{"endpoint_id": ENDPOINT, "method": "get", "path": "/things/{id}", "weight": 3}]
    event = VersionEvent.model_validate(
        {"version_id": VERSION, "version": 1, "api_id": API, "name": "v1", "endpoints": endpoints}
    )
    async with worker_db.begin() as session:
        await on_version(session, event, now=NOW)
    await subscribe(worker_db, quota=10)
    recorder = await Recorder(worker_db).begin()
    await recorder.record(an_entry(1), an_entry(2, at=minutes_ago(95), status=404))
    await folded(worker_db)
    await recorder.record(an_entry(3, status=503, source="kong"))
    await fold_pending(worker_db)  # what follows is pending: every answer is made of all three
    await recorder.record(
        an_entry(4, status=429, source="kong"), an_entry(5, path="/acme/pay/v1/elsewhere"), an_entry(6, mode="test"),
    )  # fmt: skip
    await recorder.record(
        an_entry(
            7,
            subscription=OTHER_SUBSCRIPTION,
            org=OTHER_ORG,
            provider=OTHER_PROVIDER,
            api=OTHER_API,
            status=404,
            client_ip="198.51.100.2",
        )
    )
    await recorder.watermark(NOW)
