from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.db import Database
from metering.db import positions
from metering.db.reconciliation import compare
from metering.domain.errors import Fenced
from metering.domain.latency import bucket_of, from_digits
from metering.domain.lateness import milliseconds
from metering.worker import fold_pending
from tests.metering.factories import OTHER_ORG, an_entry, request_id
from tests.metering.recording import NOW, TOPIC, Recorder, count, folded, minutes_ago, one, sums

SUBSCRIPTION_2 = "01930000-0000-7000-8000-0000000000f3"
STEPS = [
    "fence",
    "log",
    "deltas",
    "late months",
    "quotas",
    "side tables",
    "offsets",
]


class Killed(Exception):
    pass


@pytest.fixture
async def recorder(worker_db: Database) -> Recorder:
    return await Recorder(worker_db).begin()


async def assert_reconciled(db: Database) -> None:
    """Raw rows and rollups agree while deltas are pending, when they are folded into open hours, and settled."""
    first, last = datetime(2026, 9, 1, tzinfo=UTC).date(), datetime(2027, 1, 1, tzinfo=UTC).date()
    for further in (fold_pending, folded, None):
        async with db.begin() as session:
            found = await compare(session, first=first, last=last)
        assert [d for c in found for d in c.differences] == []
        if further:
            await further(db)
    assert await count(db, "usage_pending") == await count(db, "usage_open_hours") == 0


async def test_a_batch_is_in_the_log_and_in_every_total(recorder: Recorder, worker_db: Database) -> None:
    recorded = await recorder.record(
        an_entry(1), an_entry(2, status=404), an_entry(3, status=503, source="kong"),
        an_entry(4, status=429, source="kong"),
        an_entry(5, consumer=False, status=401, source="kong"), an_entry(6, mode="test"),
    )  # fmt: skip
    assert (recorded.new, recorded.repeated) == (6, 0)
    assert await sums(worker_db) == (6, 6, 6, 4)
    await folded(worker_db)
    day = await one(worker_db, "SELECT * FROM subscription_day")
    assert (day.calls, day.billable_calls, day.units, day.version) == (4, 2, 2, 1)
    assert (day.errors_4xx, day.errors_5xx, day.rejected_rate_limited) == (1, 1, 1)
    await assert_reconciled(worker_db)


async def test_a_row_bears_the_clients_network_and_a_quarantined_entry_not_even_that(
    recorder: Recorder, worker_db: Database
) -> None:
    await recorder.record(an_entry(1, at=NOW), an_entry(2, at=NOW - timedelta(days=46)))
    row = await one(worker_db, "SELECT client_net, country FROM api_requests_log")
    assert tuple(row) == ("203.0.113.0/24", None)
    kept = await one(worker_db, "SELECT entry::text FROM quarantined_request")
    assert request_id(2) in kept[0]
    assert "203.0.113" not in kept[0]


@pytest.mark.parametrize("guess", ["unseen", "repeated"])
async def test_duplicates_within_a_batch_and_between_batches_count_once(
    recorder: Recorder, worker_db: Database, guess: str
) -> None:
    recorder.unseen = guess == "unseen"
    await recorder.record(an_entry(1), an_entry(1), an_entry(2))
    shifted = await recorder.record(an_entry(2), an_entry(3), partition=1)
    assert (shifted.new, shifted.repeated) == (1, 1)
    assert await sums(worker_db) == (3, 3, 3, 3)
    await assert_reconciled(worker_db)


async def test_the_same_request_id_at_another_time_is_another_call(
    recorder: Recorder, worker_db: Database
) -> None:
    await recorder.record(an_entry(1), an_entry(1, at=minutes_ago(3)))
    assert await count(worker_db, "api_requests_log") == 2


@pytest.mark.parametrize("step", STEPS)
async def test_dying_after_any_step_leaves_nothing_behind_and_the_repeat_is_exact(
    recorder: Recorder, worker_db: Database, step: str
) -> None:
    await recorder.record(an_entry(1))

    def die(passed: str) -> None:
        if passed == step:
            raise Killed

    with pytest.raises(Killed):
        await recorder.record(an_entry(1), an_entry(2), passed=die)
    assert await sums(worker_db) == (1, 1, 1, 1)
    assert (await recorder.begin()).positions == {0: 1, 1: 0}
    await recorder.record(an_entry(1), an_entry(2))
    assert await sums(worker_db) == (2, 2, 2, 2)
    await assert_reconciled(worker_db)


def test_the_steps_tested_are_all_there_are() -> None:
    import inspect

    from metering.usecases import record_calls

    source = inspect.getsource(record_calls.record_calls)
    assert [line.split('"')[1] for line in source.splitlines() if line.strip().startswith("passed(")] == STEPS


async def test_offsets_stored_before_the_data_would_lose_calls(
    recorder: Recorder, worker_db: Database
) -> None:
    """The negative control: with the two in two transactions, the same death as above loses what was read."""
    from metering.db.positions import Advance

    async with worker_db.begin() as session:
        await positions.advance(session, TOPIC, {0: Advance(1, b"", 1, NOW)}, now=NOW)
    recorder.positions = {0: 1, 1: 0}

    def die(passed: str) -> None:
        if passed == "log":
            raise Killed

    with pytest.raises(Killed):
        await recorder.record(an_entry(1), an_entry(2), passed=die)
    again = await Recorder(worker_db).begin()
    assert again.positions == {0: 1, 1: 0}  # the log will not be read from before here: both calls are gone
    assert await sums(worker_db) == (0, 0, 0, 0)


async def test_the_second_of_two_consumers_is_fenced_and_writes_nothing(worker_db: Database) -> None:
    first, second = await Recorder(worker_db).begin(), await Recorder(worker_db).begin()
    await first.record(an_entry(1))
    with pytest.raises(Fenced):
        await second.record(an_entry(2))
    assert await sums(worker_db) == (1, 1, 1, 1)
    await (await second.begin()).record(an_entry(2))
    assert await sums(worker_db) == (2, 2, 2, 2)


async def test_a_consumer_of_another_cluster_is_fenced(recorder: Recorder, worker_db: Database) -> None:
    async with worker_db.begin() as session:
        await positions.adopt(session, TOPIC, cluster_id="cluster-2", starts={0: 0, 1: 0}, now=NOW)
    with pytest.raises(Fenced):
        await recorder.record(an_entry(1))


async def test_a_new_cluster_begins_at_its_start_and_what_it_repeats_counts_once(
    recorder: Recorder, worker_db: Database
) -> None:
    await recorder.record(an_entry(1), an_entry(2))
    async with worker_db.begin() as session:
        await positions.adopt(session, TOPIC, cluster_id="cluster-2", starts={0: 0, 1: 0}, now=NOW)
        assert await positions.as_of(session, TOPIC) is None
        state = (await positions.lock(session, TOPIC))[0]
    assert (state.cluster_id, state.next_offset, state.watermark_at) == ("cluster-2", 0, None)


async def test_a_fence_that_fails_keeps_even_a_copy_out(worker_db: Database) -> None:
    """COPY goes past SQLAlchemy to the driver: were it the first statement, no transaction would hold it."""
    recorder = await Recorder(worker_db).begin()
    recorder.positions = {0: 9, 1: 0}
    with pytest.raises(Fenced):
        await recorder.record(an_entry(1))
    assert await count(worker_db, "api_requests_log") == 0


async def test_calls_of_the_wrong_time_are_quarantined_once_and_never_counted(
    recorder: Recorder, worker_db: Database
) -> None:
    strange = [
        an_entry(1, at=NOW - timedelta(days=46)), an_entry(2, at=NOW + timedelta(minutes=11)),
        an_entry(3, at=datetime(1970, 1, 1, tzinfo=UTC)),
    ]  # fmt: skip
    await recorder.record(*strange, an_entry(4))
    await recorder.record(*strange)
    assert await sums(worker_db) == (1, 1, 1, 1)
    assert await count(worker_db, "quarantined_request") == 3
    row = await one(
        worker_db, "SELECT reason FROM quarantined_request WHERE request_id = :id", id=request_id(2)
    )
    assert row.reason == "in_the_future"


async def test_a_record_that_cannot_be_read_is_parked_and_the_partition_goes_on(
    recorder: Recorder, worker_db: Database
) -> None:
    from metering.db.positions import Advance
    from metering.domain.batch import Record, read_batch
    from metering.usecases.record_calls import Log, record_calls
    from tests.metering.recording import CLUSTER, enveloped

    hostile = enveloped([an_entry(1)]).replace(b'"status":200', b'"status":99999')
    records = [
        Record(0, 0, milliseconds(NOW), b"\xff"),
        Record(0, 1, milliseconds(NOW), hostile),
        Record(0, 2, milliseconds(NOW), enveloped([an_entry(2)])),
    ]
    async with worker_db.begin() as session:
        await record_calls(
            session, read_batch(records, {}), log=Log(TOPIC, CLUSTER, recorder.positions),
            moves={0: Advance(3, b"", 3, NOW)}, now=NOW,
        )  # fmt: skip
    assert await sums(worker_db) == (1, 1, 1, 1)
    assert await count(worker_db, "dead_letter") == 2
    letter = await one(worker_db, "SELECT * FROM dead_letter ORDER BY id")
    assert (letter.topic, letter.partition, letter.record_offset, letter.payload) == (TOPIC, 0, 0, "")


async def test_an_upgrade_in_mid_day_splits_the_day_by_plan_version(
    recorder: Recorder, worker_db: Database
) -> None:
    await recorder.record(an_entry(1), an_entry(2, plan="01930000-0000-7000-8000-0000000000f4"))
    assert await count(worker_db, "subscription_day_now") == 2


async def test_latencies_are_counted_by_bucket_and_reconciled(
    recorder: Recorder, worker_db: Database
) -> None:
    def took(number: int, milliseconds: int) -> dict[str, Any]:
        return an_entry(number, latencies={"request": milliseconds, "proxy": 3, "kong": 6})

    await recorder.record(took(1, 0), took(2, 9), took(3, 9))
    await recorder.record(took(3, 9), took(4, 9), took(5, 3_700_000), partition=1)
    await folded(worker_db)
    for table in ("usage_records_hourly", "usage_records_daily"):
        stored = await one(worker_db, f"SELECT latency_histogram::text FROM {table}")
        assert from_digits(stored[0]) == {0: 1, 9: 3, bucket_of(3_700_000): 1}
    await assert_reconciled(worker_db)
    await one(
        worker_db, "UPDATE usage_records_daily SET latency_histogram = latency_histogram + 1 RETURNING 1"
    )
    async with worker_db.begin() as session:
        found = await compare(session, first=NOW.date(), last=NOW.date() + timedelta(days=1))
    assert [d.totals for c in found for d in c.differences] == [
        {"latency_up_to_0_ms": (1, 2)}
    ] * 2  # and the endpoint's


async def test_reconciliation_names_a_row_that_was_tampered_with(
    recorder: Recorder, worker_db: Database
) -> None:
    await recorder.record(an_entry(1), an_entry(2, subscription=SUBSCRIPTION_2, org=OTHER_ORG))
    await folded(worker_db)
    await one(
        worker_db,
        "UPDATE usage_records_hourly SET units = units + 1 WHERE consumer_org = :org RETURNING 1",
        org=OTHER_ORG,
    )
    await one(
        worker_db, "DELETE FROM usage_records_daily WHERE consumer_org = :org RETURNING 1", org=OTHER_ORG
    )
    await one(
        worker_db, "UPDATE quota_usage SET units = 7 WHERE consumer_org = :org RETURNING 1", org=OTHER_ORG
    )
    async with worker_db.begin() as session:
        found = await compare(
            session, first=NOW.date().replace(day=1), last=NOW.date().replace(month=12, day=1)
        )
    by_table = {c.table: [d.totals for d in c.differences] for c in found}
    assert by_table["usage_records_hourly"] == [{"units": (1, 2)}]
    assert by_table["usage_records_daily"][0]["calls"] == (1, 0)
    assert by_table["subscription_day"] == []
    assert by_table["quota_usage"] == [{"units": (1, 7)}]
