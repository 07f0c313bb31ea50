"""Sealed hours, and what is shown of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from common.db import Database
from devstack.verify_usage import check_evidence, check_proof, check_roots
from metering.db import cutoffs
from metering.main import create_app
from metering.settings import Settings
from metering.usecases.answer_cutoffs import answer_cutoffs
from metering.usecases.make_roots import make_roots
from tests.metering.factories import (
    CONSUMER_ORG,
    OTHER_ORG,
    PLAN_VERSION,
    PROVIDER_ORG,
    SUBSCRIPTION,
    an_entry,
    request_id,
)
from tests.metering.recording import NOW, TOPIC, Recorder, one
from tests.support.clock import FixedClock
from tests.support.tokens import TokenMaker

GRACE = timedelta(seconds=3)
TEN, ELEVEN, NOON = (NOW.replace(hour=hour) for hour in (10, 11, 12))
SPAN = {"subscription_id": SUBSCRIPTION, "from": TEN.isoformat(), "to": NOON.isoformat()}


@pytest.fixture
async def app(make_settings: Callable[..., Settings], clock: FixedClock, tokens: TokenMaker) -> FastAPI:
    """Without Kafka: nothing here needs it."""
    application = create_app(make_settings(KAFKA_TOPIC_PREFIX=""), clock=clock)
    application.state.verifier = tokens.verifier
    return application


@pytest.fixture
async def recorder(worker_db: Database) -> Recorder:
    recorder = await Recorder(worker_db).begin()
    await recorder.record(
        *(an_entry(n, at=TEN + timedelta(minutes=n)) for n in (5, 3, 9)), an_entry(20), an_entry(21, status=500),
        an_entry(22, mode="test"), an_entry(23, consumer=False, status=401, source="kong"),
    )  # fmt: skip
    return recorder


async def seal(db: Database) -> int:
    async with db.begin() as session:
        return await make_roots(session, topic=TOPIC, grace=GRACE, back=timedelta(days=45), now=NOW)


async def test_hours_are_sealed_when_they_are_over_and_read_past(
    recorder: Recorder, worker_db: Database
) -> None:
    await recorder.watermark(NOON + GRACE - timedelta(seconds=1))
    assert await seal(worker_db) == 1
    await recorder.watermark(NOON + GRACE)
    assert await seal(worker_db) == 1
    assert await seal(worker_db) == 0
    row = await one(
        worker_db, "SELECT array_agg(ARRAY[calls, billable_calls, units] ORDER BY hour_start) FROM usage_root"
    )
    assert row[0] == [[3, 3, 3], [2, 1, 1]]


async def test_what_is_shown_holds_before_a_verifier_and_a_late_call_gets_a_further_root(
    recorder: Recorder, worker_db: Database, client: AsyncClient, tokens: TokenMaker
) -> None:
    consumer = tokens.headers(organisation_id=UUID(CONSUMER_ORG))

    async def get(what: str, headers: Any = consumer, **params: Any) -> Any:
        return await client.get(f"/v1/usage/{what}", headers=headers, params=SPAN | params)

    plan: dict[str, Any] = {"plan_version_id": PLAN_VERSION}
    await recorder.watermark(NOON + GRACE)
    assert (await get("evidence", **plan)).json()["code"] == "ROOT_NOT_MADE"
    await seal(worker_db)
    kept = (await get("roots")).json()
    evidence = (await get("evidence", **plan)).json()
    assert check_evidence(evidence) + check_roots(evidence, kept) == []
    assert [[leaf[3] for leaf in hour["leaves"]] for hour in evidence["hours"]] == [
        [request_id(3), request_id(5), request_id(9)], [request_id(20), request_id(21)],
    ]  # fmt: skip
    for number, is_in in ((5, True), (4, False), (99, False)):
        proof = (await get("proof", **plan, hour=TEN.isoformat(), request_id=request_id(number))).json()
        assert (proof["is_in"], check_proof(proof)) == (is_in, [])
    await recorder.record(an_entry(4, at=TEN + timedelta(minutes=4)))
    assert (await get("evidence", **plan)).json()["code"] == "ROOT_NOT_MADE"
    assert await seal(worker_db) == 1
    later = (await get("evidence", **plan)).json()
    assert [hour["version"] for hour in later["hours"]] == [2, 1]
    assert check_evidence(later) == []
    provider = await get("evidence", tokens.headers(organisation_id=UUID(PROVIDER_ORG)), **plan)
    assert provider.json() == later
    stranger = tokens.headers(organisation_id=UUID(OTHER_ORG))
    assert (await get("roots", stranger)).json()["items"] == []
    assert (await get("evidence", stranger, **plan)).json()["hours"] == []
    assert (await get("proof", stranger, **plan, hour=TEN.isoformat(), request_id="x")).status_code == 409


async def test_roots_come_in_pages(
    recorder: Recorder, worker_db: Database, client: AsyncClient, tokens: TokenMaker
) -> None:
    await recorder.watermark(NOON + GRACE)
    await seal(worker_db)
    seen: list[datetime] = []
    cursor: str | None = None
    while not seen or cursor:
        params = SPAN | {"limit": "1"} | ({"cursor": cursor} if cursor else {})
        headers = tokens.headers(organisation_id=UUID(CONSUMER_ORG))
        page = (await client.get("/v1/usage/roots", headers=headers, params=params)).json()
        seen += [datetime.fromisoformat(item["hour"]) for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [TEN, ELEVEN]


async def test_what_a_cut_inside_an_hour_totals_can_be_checked_at_once(
    recorder: Recorder, worker_db: Database, client: AsyncClient, tokens: TokenMaker
) -> None:
    until = NOW - timedelta(minutes=29)
    await recorder.watermark(until + GRACE + timedelta(seconds=1))
    async with worker_db.begin() as session:
        cutoff = cutoffs.Cutoff(UUID(int=1), UUID(CONSUMER_ORG), until, NOW)
        await cutoffs.ask(session, cutoff)
        assert await answer_cutoffs(session, topic=TOPIC, grace=GRACE, now=NOW) == 1
    headers = tokens.headers(organisation_id=UUID(CONSUMER_ORG))
    span = SPAN | {"plan_version_id": PLAN_VERSION, "to": until.isoformat()}
    evidence = (await client.get("/v1/usage/evidence", headers=headers, params=span)).json()
    assert check_evidence(evidence) == []
    assert [len(hour["leaves"]) for hour in evidence["hours"]] == [3, 2]
