"""The nightly reconciliation, and the replay into scratch tables."""

from __future__ import annotations

import asyncio

import pytest

from common.db import Database
from metering.usecases.rebuild_scratch import rebuild_scratch
from metering.usecases.reconcile import reconcile
from metering.usecases.reconcile_nightly import reconcile_nightly
from tests.metering.factories import OTHER_ORG, an_entry
from tests.metering.recording import Recorder, count, folded, minutes_ago, one
from tests.support.clock import FixedClock

SUBSCRIPTION_2 = "01930000-0000-7000-8000-0000000000f3"
TABLES = [
    "usage_records_hourly", "usage_records_daily", "usage_subscription_hourly", "usage_api_hourly",
    "usage_endpoint_daily", "usage_country_daily", "usage_errors_daily", "subscription_day", "quota_usage",
]  # fmt: skip


@pytest.fixture
async def recorder(worker_db: Database) -> Recorder:
    recorder = await Recorder(worker_db).begin()
    await recorder.record(
        an_entry(1, client_ip="198.51.100.1"), an_entry(2, status=404), an_entry(3, mode="test"),
        an_entry(4, consumer=False, status=401),
        an_entry(5, at=minutes_ago(60 * 24 * 20)), an_entry(6, at=minutes_ago(60 * 24 * 2)),
    )  # fmt: skip
    await recorder.record(an_entry(7, subscription=SUBSCRIPTION_2, org=OTHER_ORG), partition=1)
    return recorder


async def spoil(db: Database) -> None:
    await folded(db)
    await one(
        db,
        "UPDATE usage_records_daily SET units = units + 5 WHERE consumer_org = :o RETURNING 1",
        o=OTHER_ORG,
    )


@pytest.mark.usefixtures("recorder")
async def test_a_night_is_reconciled_once_whoever_comes(worker_db: Database, clock: FixedClock) -> None:
    await spoil(worker_db)
    assert await reconcile_nightly(worker_db, clock, hour=13) is None
    made = await asyncio.gather(*(reconcile_nightly(worker_db, clock, hour=3) for _ in range(3)))
    [night] = [night for night in made if night]
    assert (night.day, night.differing) == (clock.now().date(), 2)  # the endpoint's day follows its keys'
    assert night.compared["usage_records_hourly"] == 6
    assert night.found[0].totals == {"units": (1, 6)}
    assert await reconcile_nightly(worker_db, clock, hour=3) is None
    clock.advance(days=1)
    again = await reconcile_nightly(worker_db, clock, hour=3)
    assert again
    assert await count(worker_db, "reconciliation_run") == 2


async def test_a_log_without_a_call_is_reconciled_and_replayed_too(
    worker_db: Database, clock: FixedClock
) -> None:
    await Recorder(worker_db).begin()
    night = await reconcile_nightly(worker_db, clock, hour=0)
    assert night
    assert (night.differing, set(night.compared.values())) == (0, {0})
    assert all(proof.rebuilt == proof.stored for proof in await rebuild_scratch(worker_db))


@pytest.mark.usefixtures("recorder")
async def test_every_day_is_a_window_and_none_is_left_out(worker_db: Database, clock: FixedClock) -> None:
    days: list[str] = []
    first, last = clock.now().date().replace(month=10, day=1), clock.now().date().replace(month=12, day=1)
    found = await reconcile(worker_db, first=first, last=last, done=lambda day: days.append(str(day)))
    assert (len(days), days[0], days[-1]) == (61, "2026-10-01", "2026-11-30")
    assert {c.table: (c.compared, len(c.differences)) for c in found} == {
        "usage_records_hourly": (6, 0), "usage_records_daily": (6, 0), "subscription_day": (4, 0),
        "usage_subscription_hourly": (6, 0), "usage_country_daily": (1, 0), "usage_errors_daily": (2, 0),
        "quota_usage": (3, 0), "usage_api_hourly": (4, 0), "usage_endpoint_daily": (4, 0),
    }  # fmt: skip


@pytest.mark.usefixtures("recorder")
async def test_a_replay_of_the_log_makes_the_same_tables(worker_db: Database) -> None:
    seen: list[int] = []
    proofs = await rebuild_scratch(worker_db, begun=seen.append, done=seen.append)
    assert [p.table for p in proofs] == TABLES
    assert all(p.rebuilt == p.stored and p.rows for p in proofs)
    assert (seen[0], sum(seen[1:])) == (7, 7)
    await folded(worker_db)
    assert [p.stored for p in await rebuild_scratch(worker_db)] == [p.stored for p in proofs]
    await spoil(worker_db)
    await one(worker_db, "DELETE FROM subscription_day WHERE consumer_org = :o RETURNING 1", o=OTHER_ORG)
    await one(
        worker_db,
        "UPDATE usage_records_hourly SET provider_org = :o WHERE consumer_org = :o RETURNING 1",
        o=OTHER_ORG,
    )
    spoilt = {p.table: [m.columns for m in p.mismatches] for p in await rebuild_scratch(worker_db)}
    assert spoilt["usage_records_daily"] == [{"units": (1, 6)}]
    assert spoilt["subscription_day"][0]["calls"] == (1, None)
    assert list(spoilt["usage_records_hourly"][0]) == ["provider_org"]
    assert spoilt["quota_usage"] == []


@pytest.mark.usefixtures("recorder")
async def test_an_interrupted_replay_leaves_nothing_behind(worker_db: Database) -> None:
    before = [await count(worker_db, table) for table in TABLES]

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rebuild_scratch(worker_db, done=interrupt)
    relics = await one(
        worker_db, "SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND relname = ANY(:t)", t=TABLES
    )
    assert relics[0] == 0
    assert [await count(worker_db, table) for table in TABLES] == before
