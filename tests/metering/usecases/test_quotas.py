from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client import REGISTRY

from common.db import Database
from metering.consumers.subscription import SubscriptionEvent, on_subscription
from tests.metering.factories import API, CONSUMER_ORG, PLAN_VERSION, PROVIDER_ORG, SUBSCRIPTION, an_entry
from tests.metering.recording import NOW, Recorder, one
from tests.support.outbox import outbox_events


@pytest.fixture
async def recorder(worker_db: Database) -> Recorder:
    return await Recorder(worker_db).begin()


async def subscribe(
    db: Database, *, quota: int | None, version: int = 1, status: str = "active", **overrides: Any
) -> None:
    event = SubscriptionEvent.model_validate(
        {
            "subscription_id": SUBSCRIPTION, "version": version, "organisation_id": CONSUMER_ORG,
            "provider_organisation_id": PROVIDER_ORG, "api_id": API, "plan_version_id": PLAN_VERSION, "status": status,
            "phases": [{"terms": {"quota": quota}}],
        } | overrides
    )  # fmt: skip
    async with db.begin() as session:
        await on_subscription(session, event, now=NOW)


async def announced(db: Database) -> list[tuple[str, int | None, int, int]]:
    events = [e["payload"] for e in await outbox_events(db, "metering.quota.v1")]
    return [(e["state"], e["limit"], e["used"], e["version"]) for e in events]


def calls(first: int, last: int, **overrides: Any) -> list[dict[str, Any]]:
    return [an_entry(number, **overrides) for number in range(first, last + 1)]


async def test_each_crossing_is_announced_once(recorder: Recorder, worker_db: Database) -> None:
    await subscribe(worker_db, quota=10)
    for number in range(1, 13):
        await recorder.record(an_entry(number))
    await recorder.record(an_entry(12))
    assert await announced(worker_db) == [("warning", 10, 9, 1), ("reached", 10, 10, 2)]
    [event, _] = await outbox_events(worker_db, "metering.quota.v1")
    assert (event["key"], event["payload"]["until"]) == (f"{SUBSCRIPTION}/2026-11", "2026-12-01T00:00:00Z")


async def test_a_batch_that_jumps_over_the_limit_announces_it(
    recorder: Recorder, worker_db: Database
) -> None:
    await subscribe(worker_db, quota=10)
    await recorder.record(*calls(1, 25))
    assert await announced(worker_db) == [("reached", 10, 25, 1)]


async def test_what_is_counted_above_a_quota_is_measured_once(
    recorder: Recorder, worker_db: Database
) -> None:
    def above() -> float:
        return REGISTRY.get_sample_value("metering_quota_overshoot_units_total") or 0.0

    await subscribe(worker_db, quota=10)
    before = above()
    await recorder.record(*calls(1, 10))
    assert above() == before
    await recorder.record(*calls(9, 13))  # two of them for the second time
    assert above() == before + 3
    await subscribe(worker_db, quota=5, version=2)  # a lower limit lets nobody through
    assert above() == before + 3


async def test_a_higher_quota_lifts_the_stop_by_itself(recorder: Recorder, worker_db: Database) -> None:
    await subscribe(worker_db, quota=10)
    await recorder.record(*calls(1, 10))
    await subscribe(worker_db, quota=100, version=2)
    await subscribe(worker_db, quota=10, version=1)  # older: ignored
    assert await announced(worker_db) == [("reached", 10, 10, 1), ("ok", 100, 10, 2)]
    await subscribe(worker_db, quota=None, version=3)
    assert len(await announced(worker_db)) == 2


async def test_a_plan_without_a_quota_lifts_the_stop_too(recorder: Recorder, worker_db: Database) -> None:
    await subscribe(worker_db, quota=10)
    await recorder.record(*calls(1, 10))
    await subscribe(worker_db, quota=None, version=2)
    await recorder.record(*calls(11, 20))
    assert await announced(worker_db) == [("reached", 10, 10, 1), ("ok", 10, 10, 2)]


async def test_only_billable_units_of_live_keys_count(recorder: Recorder, worker_db: Database) -> None:
    await subscribe(worker_db, quota=3)
    await recorder.record(
        *calls(1, 5, mode="test"), *calls(6, 9, status=429, source="kong"), *calls(10, 12, status=500)
    )
    assert await announced(worker_db) == []


async def test_use_from_before_the_subscription_was_known_is_judged_when_it_is(
    recorder: Recorder, worker_db: Database
) -> None:
    await recorder.record(*calls(1, 5))
    assert await announced(worker_db) == []
    await subscribe(worker_db, quota=5)
    assert await announced(worker_db) == [("reached", 5, 5, 1)]


async def test_leaving_and_coming_back_gains_nothing(recorder: Recorder, worker_db: Database) -> None:
    await subscribe(worker_db, quota=5)
    await recorder.record(*calls(1, 5))
    await subscribe(worker_db, quota=5, version=2, status="canceled")
    again = "01930000-0000-7000-8000-0000000000f3"
    await subscribe(worker_db, quota=5, subscription_id=again)
    last = (await outbox_events(worker_db, "metering.quota.v1"))[-1]["payload"]
    assert (last["subscription_id"], last["state"], last["used"]) == (again, "reached", 5)


async def test_a_new_limit_and_a_crossing_at_once_end_in_the_true_state(
    recorder: Recorder, worker_db: Database
) -> None:
    await subscribe(worker_db, quota=5)

    async def use() -> None:
        for number in range(20):
            await recorder.record(an_entry(number))

    async def upgrade() -> None:
        for version in range(2, 13):
            await subscribe(worker_db, quota=5 + (version % 2) * 100, version=version)

    await asyncio.gather(use(), upgrade())
    last = (await announced(worker_db))[-1]
    assert last[:2] == ("reached", 5)
    row = await one(worker_db, "SELECT state, version FROM quota_state")
    assert (row.state, row.version) == ("reached", last[3])
