from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import REGISTRY

from common.db import Database
from metering.consumers.cutoff import CutoffEvent, on_cutoff
from metering.db import cutoffs, file_positions
from metering.domain.file_position import FilePosition
from metering.usecases.answer_cutoffs import Patience, answer_cutoffs
from metering.usecases.publish_key_uses import publish_key_uses
from metering.usecases.publish_usage import publish_usage
from metering.usecases.raise_versions import raise_versions
from metering.usecases.republish import republish
from tests.metering.factories import CONSUMER_ORG, OTHER_ORG, SUBSCRIPTION, an_entry
from tests.metering.recording import CLUSTER, NOW, TOPIC, Recorder, folded, published
from tests.support.outbox import outbox_events

GRACE = timedelta(seconds=3)
CUTOFF = UUID("01930000-0000-7000-8000-0000000000c1")
MILLISECOND = timedelta(milliseconds=1)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture
async def recorder(worker_db: Database) -> Recorder:
    return await Recorder(worker_db).begin()


async def ask(
    db: Database, until: datetime, *, cutoff_id: UUID = CUTOFF, organisation_id: str | None = None
) -> None:
    event = CutoffEvent.model_validate(
        {
            "cutoff_id": cutoff_id,
            "version": 1,
            "organisation_id": organisation_id,
            "until": until,
            "requested_at": NOW,
        }
    )
    async with db.begin() as session:
        await on_cutoff(session, event, now=NOW)


async def answer(db: Database, now: datetime = NOW) -> int:
    async with db.begin() as session:
        return await answer_cutoffs(session, topic=TOPIC, grace=GRACE, now=now)


async def periods(db: Database) -> list[dict[str, Any]]:
    return [e["payload"] for e in await outbox_events(db, "metering.period.v1")]


async def test_a_cutoff_totals_exactly_the_calls_begun_before_it(
    recorder: Recorder, worker_db: Database
) -> None:
    until = datetime(2026, 11, 15, 11, 47, 13, 250_000, tzinfo=UTC)
    begins = [
        datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC) - MILLISECOND, until - MILLISECOND, until,
        until + MILLISECOND, datetime(2026, 11, 15, tzinfo=UTC),
        datetime(2026, 11, 14, 23, 59, 59, 999_000, tzinfo=UTC),
        datetime(2026, 11, 15, 11, tzinfo=UTC), datetime(2026, 11, 15, 10, 59, 59, tzinfo=UTC),
    ]  # fmt: skip
    await recorder.record(*(an_entry(n, at=at) for n, at in enumerate(begins)))
    await recorder.record(an_entry(90, mode="test"), an_entry(91, consumer=False, status=401, source="kong"))
    await recorder.record(an_entry(92, status=500))
    await ask(worker_db, until)
    await recorder.watermark(until + GRACE)
    assert await answer(worker_db) == 0  # read up to the grace, not past it
    await recorder.watermark(until + GRACE + MILLISECOND)
    assert await answer(worker_db) == 1
    [period] = await periods(worker_db)
    [total] = period["totals"]
    assert (total["calls"], total["billable_calls"], total["units"]) == (7, 6, 6)
    assert (total["subscription_id"], total["month"]) == (SUBSCRIPTION, "2026-11-01")
    assert (period["part"], period["parts"], period["month_start"]) == (1, 1, "2026-11-01T00:00:00Z")


async def test_a_cutoff_waits_for_every_partition(recorder: Recorder, worker_db: Database) -> None:
    await recorder.record(an_entry(1), watermark=NOW + timedelta(hours=1))
    await ask(worker_db, NOW)
    assert await answer(worker_db) == 0  # nothing is known of partition 1
    await recorder.watermark(NOW + timedelta(hours=1))
    assert await answer(worker_db) == 1


async def test_asked_again_it_gives_the_same_answer_whatever_came_since(
    recorder: Recorder, worker_db: Database
) -> None:
    await recorder.record(an_entry(1))
    await recorder.watermark(NOW + timedelta(hours=1))
    await ask(worker_db, NOW)
    assert await answer(worker_db) == 1
    await recorder.record(an_entry(2))
    await ask(worker_db, NOW)
    assert await answer(worker_db) == 0
    first, again = await periods(worker_db)
    assert first == again
    ids = [e["key"] for e in await outbox_events(worker_db, "metering.period.v1")]
    assert ids == [f"{CUTOFF}/1"] * 2


async def test_a_cutoff_of_one_organisation_totals_that_one(recorder: Recorder, worker_db: Database) -> None:
    other = "01930000-0000-7000-8000-0000000000f3"
    await recorder.record(an_entry(1), an_entry(2, subscription=other, org=OTHER_ORG))
    await recorder.watermark(NOW + timedelta(hours=1))
    await ask(worker_db, NOW, organisation_id=OTHER_ORG)
    await answer(worker_db)
    [period] = await periods(worker_db)
    assert [t["organisation_id"] for t in period["totals"]] == [OTHER_ORG]


async def test_no_usage_is_an_answer_too(recorder: Recorder, worker_db: Database) -> None:
    await recorder.watermark(NOW + timedelta(hours=1))
    await ask(worker_db, NOW)
    await answer(worker_db)
    [period] = await periods(worker_db)
    assert (period["parts"], period["totals"]) == (1, [])


async def test_what_arrives_for_a_closed_month_is_an_adjustment_with_the_new_total(
    recorder: Recorder, worker_db: Database
) -> None:
    november = datetime(2026, 11, 30, 23, tzinfo=UTC)
    december = DECEMBER + timedelta(hours=2)
    await recorder.record(an_entry(1, at=november), taken_at=november)
    await recorder.watermark(december)
    await ask(worker_db, DECEMBER)
    assert await answer(worker_db) == 1
    [period] = await periods(worker_db)
    assert (period["month_start"], period["totals"][0]["billable_calls"]) == ("2026-11-01T00:00:00Z", 1)
    late = await recorder.record(an_entry(1, at=november), an_entry(2, at=november), taken_at=december)
    assert (late.new, late.late_months) == (1, 1)
    in_time = await recorder.record(an_entry(3, at=december), an_entry(1, at=november), taken_at=december)
    assert in_time.late_months == 0  # the repeat changes nothing
    async with worker_db.begin() as session:  # not before the late call is in what goes out
        await raise_versions(session, now=december)
        await publish_usage(session, now=december)
    assert await outbox_events(worker_db, "metering.adjustment.v1") == []
    await published(worker_db, now=december)
    [adjusted] = await outbox_events(worker_db, "metering.adjustment.v1")
    payload = adjusted["payload"]
    assert (payload["month"], payload["billable_calls"], payload["version"]) == ("2026-11-01", 2, 1)
    assert payload["organisation_id"] == CONSUMER_ORG


async def test_a_cut_inside_a_month_closes_nothing(recorder: Recorder, worker_db: Database) -> None:
    await recorder.watermark(NOW + timedelta(hours=1))
    await ask(worker_db, NOW)
    await answer(worker_db)
    assert (await recorder.record(an_entry(1))).late_months == 0


async def test_a_call_recorded_while_a_period_closes_is_in_it_or_adjusts_it(
    recorder: Recorder, worker_db: Database
) -> None:
    november = datetime(2026, 11, 30, 23, tzinfo=UTC)
    december = DECEMBER + timedelta(hours=2)
    await recorder.watermark(december)
    await ask(worker_db, DECEMBER)

    async def record_many() -> int:
        late = 0
        for number in range(30):
            late += (await recorder.record(an_entry(number, at=november), taken_at=december)).late_months
        return late

    async def close() -> None:
        await asyncio.sleep(0.05)
        assert await answer(worker_db, december) == 1

    late, _ = await asyncio.gather(record_many(), close())
    [period] = await periods(worker_db)
    counted = period["totals"][0]["billable_calls"] if period["totals"] else 0
    assert counted + late == 30


async def test_usage_goes_out_once_per_change_with_absolute_values(
    recorder: Recorder, worker_db: Database
) -> None:
    await recorder.record(an_entry(1))
    await recorder.record(an_entry(2))
    assert await published(worker_db) == 1
    assert await published(worker_db) == 0
    await recorder.record(an_entry(2))  # a repeat is no change
    assert await published(worker_db) == 0
    await recorder.record(an_entry(3))
    await published(worker_db)
    events = await outbox_events(worker_db, "metering.usage.v1")
    assert [(e["payload"]["calls"], e["payload"]["version"]) for e in events] == [(2, 1), (3, 2)]
    assert events[0]["key"].endswith("/2026-11-15")


async def test_republishing_sends_everything_again_at_its_present_version(
    recorder: Recorder, worker_db: Database, db: Database
) -> None:
    from common.db import Scope

    await recorder.record(an_entry(1))
    await recorder.watermark(NOW + timedelta(hours=1))
    await ask(worker_db, NOW)
    await answer(worker_db)
    await published(worker_db)
    async with db.begin(Scope(platform_admin=True)) as session:  # as the API's role
        assert await republish(session, NOW) == 3  # the day, the period and the key's last use
    assert await published(worker_db) == 1
    first, again = await outbox_events(worker_db, "metering.usage.v1")
    assert first == again
    first, again = await outbox_events(worker_db, "metering.period.v1")
    assert first == again


async def test_after_a_failover_everything_goes_out_above_what_anybody_has_seen(
    recorder: Recorder, worker_db: Database
) -> None:
    await recorder.record(an_entry(1, at=datetime(2026, 10, 31, tzinfo=UTC)))
    async with worker_db.begin() as session:
        await cutoffs.close_month(session, date(2026, 10, 1), organisation_id=None, now=NOW)
    await recorder.record(an_entry(2, at=datetime(2026, 10, 30, tzinfo=UTC)), an_entry(3))
    await folded(worker_db)
    for _ in range(2):
        async with worker_db.begin() as session:
            await publish_usage(session, now=NOW)
            await publish_key_uses(session, now=NOW)
            await raise_versions(session, now=NOW)
    for topic, values in (("metering.usage.v1", 3), ("metering.adjustment.v1", 1), ("metering.key.v1", 1)):
        told = [e["payload"] for e in await outbox_events(worker_db, topic)]
        first, again = told[:values], told[values:]
        assert all(e["version"] > 1_000_000 for e in again)
        known, anew = ([str(e | {"version": 0}) for e in some] for some in (first, again))
        assert sorted(known) == sorted(anew)


PATIENCE = Patience(timedelta(minutes=15), Decimal("99.9"), None)


async def read_file(db: Database, at: datetime, *, path: str = "kong.log", cluster: str = CLUSTER) -> None:
    """The follower found nothing more to read in a log file at `at`."""
    async with db.begin() as session:
        place = FilePosition(1, 10, "digest", 10)
        await file_positions.note_end(session, path, place, cluster_id=cluster, read_to=at)


async def answer_patiently(db: Database, now: datetime) -> int:
    async with db.begin() as session:
        return await answer_cutoffs(session, topic=TOPIC, grace=GRACE, patience=PATIENCE, now=now)


async def test_a_cutoff_waits_until_every_log_file_is_read_past_it_and_what_was_in_it_is_counted(
    recorder: Recorder, worker_db: Database
) -> None:
    second = timedelta(seconds=1)
    await ask(worker_db, NOW)
    await read_file(worker_db, NOW + GRACE - second)
    await read_file(worker_db, NOW + 60 * second, path="of another node.log", cluster="the cluster before")
    await recorder.watermark(NOW + 60 * second)
    assert await answer_patiently(worker_db, NOW + 60 * second) == 0
    await read_file(worker_db, NOW + GRACE)
    assert await answer_patiently(worker_db, NOW + 60 * second) == 0  # the other node's is of another cluster
    await read_file(worker_db, NOW + 61 * second, path="of another node.log")
    assert await answer_patiently(worker_db, NOW + 62 * second) == 0  # in Kafka, perhaps not counted yet
    await recorder.record(an_entry(1))
    await recorder.watermark(NOW + 62 * second)
    assert await answer_patiently(worker_db, NOW + 63 * second) == 0
    await recorder.watermark(NOW + 63 * second)
    assert await answer_patiently(worker_db, NOW + 63 * second) == 1
    assert (await periods(worker_db))[0]["totals"][0]["calls"] == 1


async def test_a_log_file_that_nobody_reads_keeps_no_cutoff_waiting_for_ever_and_is_said(
    recorder: Recorder, worker_db: Database
) -> None:
    unjudged = ("metering_cutoffs_unjudged_total", {"unknown": "file_log"})
    before = REGISTRY.get_sample_value(*unjudged)
    assert before is not None
    await ask(worker_db, NOW)
    await read_file(worker_db, NOW - timedelta(hours=1))
    await recorder.watermark(NOW + timedelta(hours=1))
    over = NOW + GRACE + PATIENCE.file_log
    assert await answer_patiently(worker_db, over - MILLISECOND) == 0
    assert await answer_patiently(worker_db, over) == 1
    assert REGISTRY.get_sample_value(*unjudged) == before + 1
    async with worker_db.begin() as session:
        await file_positions.forget_abandoned(session, before=NOW)
        assert await file_positions.are_read_past(session, NOW, clusters=[CLUSTER]) == {}
