"""What batches wrote down goes into the rollups: exactly once, whoever folds and wherever it ends."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from common.db import Database
from metering.db import deltas
from metering.db.tables import metadata
from metering.usecases.fold_deltas import fold_deltas
from metering.usecases.settle_hours import settle_hours
from metering.worker import fold_pending, settle_over
from tests.metering.factories import an_entry
from tests.metering.recording import NOW, Recorder, count, folded, minutes_ago, one, sums
from tests.metering.usecases.test_record_calls import assert_reconciled


class Killed(Exception):
    pass


@pytest.fixture
async def recorder(worker_db: Database) -> Recorder:
    recorder = await Recorder(worker_db).begin()
    await recorder.record(
        an_entry(1, client_ip="198.51.100.1"), an_entry(2, status=404), an_entry(3, at=minutes_ago(90)),
        an_entry(4, mode="test"), an_entry(5, consumer=False, status=401, source="kong"),
    )  # fmt: skip
    return recorder


async def test_what_is_read_is_the_same_before_and_after(recorder: Recorder, worker_db: Database) -> None:
    assert await sums(worker_db) == (5, 5, 5, 3)
    assert await count(worker_db, "usage_records_hourly") == 0
    await fold_pending(worker_db)
    assert await count(worker_db, "usage_pending") == 0
    assert await count(worker_db, "usage_records_hourly", "sum(calls)") == 5
    assert await sums(worker_db) == (5, 5, 5, 3)
    await recorder.record(an_entry(1), an_entry(6))
    await assert_reconciled(worker_db)
    assert await sums(worker_db) == (6, 6, 6, 4)


@pytest.mark.usefixtures("recorder")
async def test_it_may_end_before_its_commit_and_take_any_portion(worker_db: Database) -> None:
    def die(step: str) -> None:
        raise Killed(step)

    with pytest.raises(Killed, match="folded"):
        async with worker_db.begin() as session:
            await fold_deltas(session, passed=die)
    assert await count(worker_db, "usage_pending") == 5
    for _ in range(5):
        async with worker_db.begin() as session:
            assert await fold_deltas(session, limit=1) == 1
        assert await sums(worker_db) == (5, 5, 5, 3)
    await assert_reconciled(worker_db)


async def test_two_at_once_add_everything_once_even_without_the_lock(
    recorder: Recorder, worker_db: Database
) -> None:
    for number in range(10, 16):
        await recorder.record(an_entry(number))

    async def fold() -> int:
        async with worker_db.begin() as session:
            return await deltas.fold(session, limit=100)

    assert sum(await asyncio.gather(fold(), fold(), fold())) == 11
    await assert_reconciled(worker_db)


@pytest.mark.usefixtures("recorder")
async def test_a_second_one_leaves_it_to_the_first(worker_db: Database) -> None:
    async with worker_db.begin() as first, worker_db.begin() as second:
        assert await fold_deltas(first) == 5
        assert await fold_deltas(second) == 0


@pytest.mark.usefixtures("recorder")
async def test_a_packed_delta_is_what_the_calls_were(worker_db: Database) -> None:
    """Every column, as PostgreSQL reads it back."""
    row = await one(worker_db, "SELECT d.*, l.started_at, l.request_id FROM usage_pending d JOIN api_requests_log l"
        " ON l.status = d.status WHERE d.status = 404")  # fmt: skip
    assert (row.source, row.last_at, row.example, row.calls) == (
        "upstream",
        row.started_at,
        row.request_id,
        1,
    )
    assert (row.errors_4xx, row.errors_5xx, row.rejected_unauthorized) == (1, 0, 0)
    refused = await one(worker_db, "SELECT * FROM usage_pending WHERE status = 401")
    assert (refused.errors_4xx, refused.rejected_unauthorized, refused.subscription_id) == (0, 1, None)
    async with worker_db.begin() as session:
        found = await session.execute(
            text("SELECT country, calls FROM usage_pending WHERE country IS NOT NULL")
        )
        assert [tuple(row) for row in found] == [("DE", 1)]


async def test_days_and_last_uses_come_with_the_fold_and_are_read_before(
    recorder: Recorder, worker_db: Database
) -> None:
    assert (
        await count(worker_db, "subscription_day"),
        await count(worker_db, "subscription_day_now", "sum(calls)"),
    ) == (0, 3)
    await folded(worker_db)
    day = await one(worker_db, "SELECT * FROM subscription_day")
    assert (day.calls, day.errors_4xx, day.version, day.published_version) == (3, 1, 1, 0)
    used = await one(worker_db, "SELECT * FROM key_use")
    assert used.last_used_at == minutes_ago(30)
    await recorder.record(an_entry(6, at=minutes_ago(60)))
    await folded(worker_db)
    assert await one(worker_db, "SELECT * FROM key_use") == used  # a late call is no later use
    assert (await one(worker_db, "SELECT calls, version FROM subscription_day")) == (4, 2)


@pytest.mark.usefixtures("recorder")
async def test_what_a_worker_of_the_version_before_wrote_down_is_folded_without_what_it_added_itself(
    worker_db: Database,
) -> None:
    """Its batches added days and noted keys, and its deltas stand in a table of their own."""
    columns = ", ".join(column.name for column in metadata.tables["usage_delta"].c)
    await one(
        worker_db,
        f"WITH taken AS (DELETE FROM usage_pending RETURNING *)"
        f" INSERT INTO usage_delta ({columns}) SELECT {columns} FROM taken RETURNING 1",
    )
    assert await sums(worker_db) == (5, 5, 5, 0)
    await folded(worker_db)
    assert await sums(worker_db) == (5, 5, 5, 0)
    assert await count(worker_db, "usage_delta") == await count(worker_db, "key_use") == 0
    assert await count(worker_db, "usage_records_hourly", "sum(calls)") == 5


async def stored(db: Database) -> tuple[int, int, int, int]:
    """Calls in open hours, and in the settled hours, days and subscriptions' hours."""
    tables = (
        "usage_open_hours",
        "ONLY usage_records_hourly",
        "usage_records_daily",
        "usage_subscription_hourly",
    )
    a, b, c, d = [await count(db, table, "sum(calls)") for table in tables]
    return a, b, c, d


async def test_an_hour_is_settled_once_it_is_over_and_again_when_calls_come_late(
    recorder: Recorder, worker_db: Database
) -> None:
    await fold_pending(worker_db)
    assert await stored(worker_db) == (5, 0, 0, 0)
    over = minutes_ago(60)
    for _ in range(2):
        await settle_over(worker_db, before=over)
        assert await stored(worker_db) == (4, 1, 1, 1)
        assert await sums(worker_db) == (5, 5, 5, 3)
    await recorder.record(an_entry(7, at=minutes_ago(90)), an_entry(8, at=minutes_ago(25 * 60)))
    await fold_pending(worker_db)
    assert await stored(worker_db) == (6, 1, 1, 1)
    await assert_reconciled(worker_db)
    assert await stored(worker_db) == (0, 7, 7, 7)
    late = await one(
        worker_db, "SELECT count(*), max(calls) FROM usage_records_hourly WHERE hour_start < :over", over=over
    )
    assert late == (2, 2)


@pytest.mark.usefixtures("recorder")
async def test_settling_may_end_before_its_commit_and_take_any_portion(worker_db: Database) -> None:
    await fold_pending(worker_db)

    def die(step: str) -> None:
        raise Killed(step)

    with pytest.raises(Killed, match="settled"):
        await settle_over(worker_db, before=NOW, passed=die)
    assert await stored(worker_db) == (5, 0, 0, 0)
    rows = await count(worker_db, "usage_open_hours")
    for left in range(rows - 1, -1, -1):
        async with worker_db.begin() as session:
            assert await settle_hours(session, before=NOW, limit=1) == 1
        assert await count(worker_db, "usage_open_hours") == left
        assert await sums(worker_db) == (5, 5, 5, 3)
    assert await stored(worker_db) == (0, 5, 5, 5)


async def test_folding_and_settling_leave_it_to_each_other(recorder: Recorder, worker_db: Database) -> None:
    await fold_pending(worker_db)
    await recorder.record(an_entry(10), an_entry(11, at=minutes_ago(90)))
    async with worker_db.begin() as first, worker_db.begin() as second:
        assert await fold_deltas(first) == 2
        assert await settle_hours(second, before=NOW) == 0
    async with worker_db.begin() as first, worker_db.begin() as second:
        assert await settle_hours(first, before=NOW) > 0
        assert await fold_deltas(second) == 0
    assert await stored(worker_db) == (0, 7, 7, 7)
