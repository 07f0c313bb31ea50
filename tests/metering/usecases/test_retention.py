"""Raw months are dropped and networks erased when their time is over, and nothing that is counted changes by it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from common.clock import SystemClock
from common.db import Database
from metering.db import cutoffs, request_log
from metering.db.cutoffs import Cutoff
from metering.db.reconciliation import compare
from metering.domain.batch import Record, read_batch
from metering.domain.lateness import milliseconds
from metering.settings import Settings
from metering.usecases.drop_old_months import drop_old_months
from metering.usecases.erase_networks import erase_networks
from metering.usecases.make_partitions_ahead import make_partitions_ahead
from metering.usecases.rebuild_scratch import rebuild_scratch
from tests.metering.factories import SUBSCRIPTION, an_entry
from tests.metering.recording import Recorder, count, enveloped, folded, one, sums

KEEP = timedelta(days=90)
LONG_AGO, LATER = datetime(2026, 3, 15, 12, tzinfo=UTC), datetime(2026, 4, 2, 12, tzinfo=UTC)
AFTER = datetime(2026, 8, 1, tzinfo=UTC)  # more than 90 days after the end of April


@pytest.fixture
async def recorder(worker_db: Database) -> Recorder:
    recorder = await Recorder(worker_db).begin()
    async with worker_db.begin() as session:
        await request_log.ensure_partitions(session, [date(2026, 3, 1), date(2026, 4, 1), date(2026, 8, 1)])
    await recorder.record(an_entry(1, at=LONG_AGO), an_entry(2, at=LONG_AGO), taken_at=LONG_AGO)
    await recorder.record(an_entry(3, at=LATER), taken_at=LATER)
    return recorder


async def differences(db: Database) -> int:
    async with db.begin() as session:
        found = await compare(session, first=date(2026, 1, 1), last=date(2027, 1, 1))
    return sum(len(comparison.differences) for comparison in found)


async def partitions(db: Database) -> list[str]:
    async with db.begin() as session:
        rows = await session.execute(
            text("SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class ON oid = inhparent"
                 " WHERE relname = 'api_requests_log' ORDER BY 1")
        )  # fmt: skip
        return [name.removeprefix("api_requests_log_p") for (name,) in rows]


async def test_a_month_is_dropped_when_its_end_is_past_the_retention_and_not_a_day_before(
    recorder: Recorder, worker_db: Database
) -> None:
    end_of_march = datetime(2026, 4, 1, tzinfo=UTC)
    before = await sums(worker_db)
    assert await drop_old_months(worker_db, keep=KEEP, now=end_of_march + KEEP - timedelta(seconds=1)) == 0
    assert await sums(worker_db) == before
    assert await drop_old_months(worker_db, keep=KEEP, now=end_of_march + KEEP) == 1
    assert await drop_old_months(worker_db, keep=KEEP, now=end_of_march + KEEP) == 0
    assert (await partitions(worker_db))[0] == "2026_04"
    assert await sums(worker_db) == (1, 3, 3, 3)  # hours, days and subscriptions' days stay


async def test_reconciliation_says_nothing_of_what_was_dropped_and_still_sees_the_rest(
    recorder: Recorder, worker_db: Database
) -> None:
    await drop_old_months(worker_db, keep=KEEP, now=datetime(2026, 7, 15, tzinfo=UTC))
    assert await count(worker_db, "api_requests_log") == 1
    assert await differences(worker_db) == 0
    assert [m for proof in await rebuild_scratch(worker_db) for m in proof.mismatches] == []
    await folded(worker_db)
    await one(worker_db, "UPDATE usage_records_daily SET calls = 9 WHERE day = '2026-04-02' RETURNING 1")
    assert await differences(worker_db) == 2  # the key's day, and the endpoint's that follows it


async def test_what_was_dropped_is_not_counted_again_and_does_not_stop_the_batch(
    recorder: Recorder, worker_db: Database
) -> None:
    await drop_old_months(worker_db, keep=KEEP, now=AFTER)
    async with worker_db.begin() as session:
        await request_log.ensure_partitions(session, [date(2026, 3, 1)])
    assert "2026_03" not in await partitions(worker_db)
    recorded = await recorder.record(an_entry(1, at=LONG_AGO), taken_at=LONG_AGO)
    assert (recorded.new, recorded.repeated) == (0, 1)
    assert (await recorder.record(an_entry(4, at=AFTER), taken_at=AFTER)).new == 1
    assert await count(worker_db, "usage_records_daily_now", "sum(calls)") == 4


async def test_a_month_whose_cutoff_waits_for_its_answer_stays(
    recorder: Recorder, worker_db: Database
) -> None:
    asked = Cutoff(UUID(SUBSCRIPTION), None, datetime(2026, 4, 1, tzinfo=UTC), AFTER)
    async with worker_db.begin() as session:
        await cutoffs.ask(session, asked)
    assert await drop_old_months(worker_db, keep=KEEP, now=AFTER) == 0
    async with worker_db.begin() as session:
        await cutoffs.answer(session, asked.cutoff_id, [], now=AFTER)
    assert await drop_old_months(worker_db, keep=KEEP, now=AFTER) == 2


async def test_the_database_itself_keeps_months_from_which_a_call_may_still_count(
    worker_db: Database,
) -> None:
    now = SystemClock().now()
    with pytest.raises(DBAPIError, match="may still count"):
        async with worker_db.begin() as session:
            await request_log.drop_months(session, before=(now - timedelta(days=10)).date())
    for statement in ("DROP TABLE api_requests_log_p2026_11", "TRUNCATE api_requests_log"):
        await Recorder(worker_db).begin()
        with pytest.raises(DBAPIError, match=r"must be owner|permission denied"):
            async with worker_db.begin() as session:
                await session.execute(text(statement))


async def test_partitions_are_there_for_every_call_that_may_count_and_for_two_months_ahead(
    worker_db: Database,
) -> None:
    async with worker_db.begin() as session:
        await make_partitions_ahead(session, now=datetime(2026, 12, 5, tzinfo=UTC))
    assert await partitions(worker_db) == ["2026_10", "2026_11", "2026_12", "2027_01", "2027_02"]


async def test_a_network_is_erased_when_its_time_is_over_and_nothing_else_changes(
    recorder: Recorder, worker_db: Database
) -> None:
    nets = "SELECT array_agg(client_net ORDER BY request_id) FROM api_requests_log"
    keep = timedelta(days=30)
    assert await erase_networks(worker_db, keep=keep, now=LONG_AGO + keep) == 0
    assert await erase_networks(worker_db, keep=keep, now=LONG_AGO + keep + timedelta(seconds=1)) == 2
    assert (await one(worker_db, nets))[0] == [None, None, "203.0.113.0/24"]
    assert await erase_networks(worker_db, keep=keep, now=AFTER) == 1
    assert await erase_networks(worker_db, keep=keep, now=AFTER) == 0
    assert (await one(worker_db, nets))[0] == [None, None, None]
    assert await differences(worker_db) == 0


def test_a_call_that_comes_when_its_time_is_over_bears_no_network() -> None:
    value = enveloped([an_entry(1, at=LONG_AGO), an_entry(2, at=LATER)])
    batch = read_batch([Record(0, 0, milliseconds(LATER), value)], {}, nets_from=LATER)
    assert [call.client_net for call in batch.calls] == [None, "203.0.113.0/24"]


@pytest.mark.parametrize(
    ("retention", "dispute", "problem"), [(59, 60, "dispute_days"), (45, 0, "must be above 45")]
)
def test_raw_rows_are_never_kept_for_less_than_they_are_needed(
    make_settings: Callable[..., Settings], retention: int, dispute: int, problem: str
) -> None:
    with pytest.raises(ValidationError, match=problem):
        make_settings(raw_retention_days=retention, dispute_days=dispute)
    assert make_settings(raw_retention_days=60, dispute_days=60).raw_retention_days == 60
