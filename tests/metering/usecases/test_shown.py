"""What others show: when keys were last used, and how APIs do."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from common.db import Database
from metering.usecases.publish_key_uses import publish_key_uses
from metering.usecases.publish_statistics import publish_statistics
from metering.usecases.republish import republish
from tests.metering.factories import API, CONSUMER_ORG, KEY, OTHER_ORG, SUBSCRIPTION, an_entry
from tests.metering.recording import NOW, Recorder, folded, minutes_ago, published
from tests.support.outbox import outbox_events

WAIT = timedelta(minutes=5)
OTHER_KEY = "01930000-0000-7000-8000-0000000000e5"
OTHER_API = "01930000-0000-7000-8000-0000000000e1"
OTHER_SUBSCRIPTION = "01930000-0000-7000-8000-0000000000e3"


@pytest.fixture
async def recorder(worker_db: Database) -> Recorder:
    return await Recorder(worker_db).begin()


async def uses(db: Database) -> list[tuple[str, str, int]]:
    """(key, minute, version) of what was published."""
    await folded(db)
    async with db.begin() as session:
        await publish_key_uses(session, now=NOW)
    events = [e["payload"] for e in await outbox_events(db, "metering.key.v1")]
    return [(e["key_id"], e["last_used_at"][11:19], e["version"]) for e in events]


async def test_a_key_s_last_use_is_published_once_a_minute_and_the_last_one_never_lost(
    recorder: Recorder, worker_db: Database
) -> None:
    seconds = [NOW - timedelta(seconds=s) for s in (190, 185, 170, 62, 61)]
    for number, at in enumerate(seconds):
        await recorder.record(an_entry(number, at=at))
        await uses(worker_db)
    assert await uses(worker_db) == [(KEY, "11:56:00", 1), (KEY, "11:57:00", 2), (KEY, "11:58:00", 3)]
    await recorder.record(an_entry(2, at=seconds[2]), an_entry(7, at=minutes_ago(60)))  # repeated, and late
    assert len(await uses(worker_db)) == 3


async def test_a_refused_call_and_a_test_key_s_are_uses_and_each_key_has_its_own(
    recorder: Recorder, worker_db: Database
) -> None:
    await recorder.record(
        an_entry(1, at=minutes_ago(9), authenticated_entity={"id": OTHER_KEY}, mode="test"),
        an_entry(2, at=minutes_ago(7), status=429, source="exit"),
        an_entry(3, at=minutes_ago(8)),
        an_entry(4, consumer=False, status=401, source="exit"),
    )
    assert sorted(await uses(worker_db)) == [(KEY, "11:53:00", 1), (OTHER_KEY, "11:51:00", 1)]
    for event in await outbox_events(worker_db, "metering.key.v1"):
        payload = event["payload"]
        assert (payload["subscription_id"], payload["organisation_id"]) == (SUBSCRIPTION, CONSUMER_ORG)


async def measured(db: Database, now: datetime = NOW) -> list[dict[str, Any]]:
    await published(db, now=now)
    async with db.begin() as session:
        await publish_statistics(session, wait=WAIT, now=now)
    return [e["payload"] for e in await outbox_events(db, "metering.api.v1")]


async def test_an_api_s_statistics_count_what_reached_it_in_thirty_days(
    recorder: Recorder, worker_db: Database
) -> None:
    old = NOW - timedelta(days=30)
    await recorder.record(
        *(an_entry(n, latencies={"request": 100, "proxy": 3, "kong": 6, "receive": 0}) for n in range(95)),
        *(an_entry(n, subscription=OTHER_SUBSCRIPTION, org=OTHER_ORG, status=500,
                   latencies={"request": 1000, "proxy": 3, "kong": 6, "receive": 0}) for n in range(95, 102)),
        an_entry(102, status=503, source="error"),  # the gateway could not reach it
        an_entry(103, status=404),
        *(an_entry(n, status=429, source="exit") for n in range(104, 107)),
        an_entry(107, status=500, source="exit"),  # the gateway's own fault
        an_entry(108, at=old, status=500), an_entry(109, mode="test", status=500),
        an_entry(110, consumer=False, status=401, source="exit"),
        an_entry(111, api=OTHER_API, at=NOW - timedelta(days=29)),
    )  # fmt: skip
    assert await measured(worker_db) == []  # not yet: more may come
    found = {e["api_id"]: e for e in await measured(worker_db, NOW + WAIT)}
    api = found[API]
    assert (api["calls"], api["subscribers"], api["days"], api["version"]) == (104, 2, 30, 1)
    assert api["uptime_percent"] == "92.307"  # 8 of 104 failed
    assert api["latency_ms_p50"] == pytest.approx(100, rel=0.05)
    assert api["latency_ms_p95"] == pytest.approx(1000, rel=0.05)
    assert (found[OTHER_API]["calls"], found[OTHER_API]["uptime_percent"]) == (1, "100.000")


async def test_statistics_are_published_when_they_change_and_not_more_often_than_said(
    recorder: Recorder, worker_db: Database
) -> None:
    await recorder.record(an_entry(1))
    for minute in range(12):
        await measured(worker_db, NOW + timedelta(minutes=minute))
        await recorder.record(an_entry(10 + minute))
    assert [(e["version"], e["calls"]) for e in await measured(worker_db, NOW + 4 * WAIT)] == [
        (1, 6), (2, 11), (3, 13),
    ]  # fmt: skip
    assert len(await measured(worker_db, NOW + 10 * WAIT)) == 3
    month_later = await measured(worker_db, NOW + timedelta(days=31))  # what became too old is taken off
    assert [(e["calls"], e["uptime_percent"], e["latency_ms_p50"]) for e in month_later[3:]] == [
        (0, None, None)
    ]
    assert len(await measured(worker_db, NOW + timedelta(days=40))) == 4


async def test_both_are_published_again_at_the_same_version(recorder: Recorder, worker_db: Database) -> None:
    await recorder.record(an_entry(1))
    await measured(worker_db)
    await uses(worker_db)
    await measured(worker_db, NOW + WAIT)
    async with worker_db.begin() as session:
        await republish(session, NOW + WAIT)
    first, again = await measured(worker_db, NOW + WAIT)
    assert first == again
    once, twice = await uses(worker_db)
    assert once == twice
