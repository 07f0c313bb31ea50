"""The gateway's counters against what is metered, round by round."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from httpx import AsyncClient
from prometheus_client import REGISTRY

from common.db import Database
from metering.consumers.version import VersionEvent, on_version
from metering.domain.gateway_counters import Reading, Series
from metering.usecases.answer_cutoffs import Patience, answer_cutoffs
from metering.usecases.judge_completeness import judge_completeness
from metering.usecases.take_readings import take_readings
from tests.metering.factories import (
    API,
    CONSUMER_ORG,
    OTHER_ORG,
    PROVIDER_ORG,
    SUBSCRIPTION,
    VERSION,
    an_entry,
)
from tests.metering.recording import NOW, TOPIC, Recorder, count, one
from tests.metering.usecases.test_cutoffs import ask, periods
from tests.metering.usecases.test_quotas import subscribe
from tests.support.outbox import outbox_events
from tests.support.tokens import TokenMaker

GRACE, BOUND = timedelta(seconds=3), Decimal("99.9")
OURS = Series("acme.pay", f"route.{VERSION}", f"sub_{SUBSCRIPTION}")
LATEST = Series("acme.pay", f"route-latest.{API}", f"sub_{SUBSCRIPTION}")
FOREIGN = Series("theirs", "theirs", "")


def at(minutes: float) -> datetime:
    """Minutes after eleven; the calls of the tests begin at half past."""
    return datetime(2026, 11, 15, 11, tzinfo=UTC) + timedelta(minutes=minutes)


@pytest.fixture
async def recorder(worker_db: Database) -> Recorder:
    event = VersionEvent.model_validate(
        {"version_id": VERSION, "version": 1, "api_id": API, "name": "v1", "endpoints": []}
    )
    async with worker_db.begin() as session:
        await on_version(session, event, now=NOW)
    await subscribe(worker_db, quota=None)
    return await Recorder(worker_db).begin()


class Gateway:
    """Nodes whose counters are read at given moments."""

    def __init__(self, db: Database) -> None:
        self.db, self.asked = db, 0

    async def read(self, moment: datetime, *nodes: dict[Series, int], restarted: bool = False) -> None:
        self.asked = 1 if restarted else self.asked + 1
        readings = {f"node{n}": Reading(self.asked, series) for n, series in enumerate(nodes)}
        async with self.db.begin() as session:
            await take_readings(session, readings, before=moment, after=moment + timedelta(milliseconds=20))

    async def judge(self, now: datetime = NOW) -> int:
        async with self.db.begin() as session:
            return await judge_completeness(session, topic=TOPIC, grace=GRACE, bound=BOUND, now=now)


@pytest.fixture
def gateway(worker_db: Database) -> Gateway:
    return Gateway(worker_db)


async def told(db: Database) -> list[dict[str, Any]]:
    return [e["payload"] for e in await outbox_events(db, "metering.completeness.v1")]


async def test_an_hour_of_two_nodes_is_whole(
    recorder: Recorder, gateway: Gateway, worker_db: Database
) -> None:
    await gateway.read(at(0.1), {OURS: 5}, {FOREIGN: 9})
    await recorder.record(*(an_entry(n) for n in range(6)))
    await gateway.read(at(31), {OURS: 8}, {OURS: 1, FOREIGN: 90})
    await gateway.read(at(60.2), {OURS: 9}, {OURS: 1, LATEST: 1, FOREIGN: 99})
    assert await gateway.judge() == 0  # not read so far yet
    await recorder.watermark(at(61))
    assert await gateway.judge() == 1
    row = await one(worker_db, "SELECT counted, metered, before, after, provider_org FROM completeness")
    assert tuple(row) == (6, 6, 0, 0, UUID(PROVIDER_ORG))
    assert await told(worker_db) == []
    assert await gateway.judge() == 0
    # the next hour begins with the same reading
    spans = await one(worker_db, "SELECT max(began_from), min(until_from) FROM gateway_span")
    assert spans[0] == spans[1] == at(60.2)


async def test_calls_at_the_edge_of_a_span_get_the_benefit_of_the_doubt_once(
    recorder: Recorder, gateway: Gateway, worker_db: Database
) -> None:
    edge = at(60.2)
    await gateway.read(at(0), {OURS: 0})
    # counted before the reading by the gateway's clock, and metered as ending after it
    await recorder.record(an_entry(1, at=edge + timedelta(milliseconds=300)))
    await gateway.read(edge, {OURS: 1})
    await gateway.read(at(120.1), {OURS: 1})
    await recorder.watermark(at(125))
    assert await gateway.judge() == 2
    rows = await one(
        worker_db,
        "SELECT array_agg(ARRAY[counted, metered, before, after] ORDER BY span_id) FROM completeness",
    )
    assert rows[0] == [[1, 0, 0, 1], [0, 1, 0, 0]]
    assert await told(worker_db) == []


async def test_missing_calls_are_told_and_mended_by_a_replay(
    recorder: Recorder, gateway: Gateway, worker_db: Database
) -> None:
    await gateway.read(at(0), {OURS: 100})
    await recorder.record(*(an_entry(n) for n in range(7)))
    await gateway.read(at(60), {OURS: 110})
    await recorder.watermark(at(61))
    assert await gateway.judge() == 1
    [event] = await told(worker_db)
    assert (event["counted"], event["metered"], event["missing"], event["percent"]) == (10, 7, 3, "70.0000")
    assert (event["complete"], event["subscription_ids"]) == (False, [SUBSCRIPTION])
    await recorder.record(*(an_entry(n) for n in range(10)))
    assert await gateway.judge(NOW + timedelta(minutes=9)) == 0
    assert await gateway.judge(NOW + timedelta(minutes=11)) == 1
    mended = (await told(worker_db))[-1]
    assert (mended["version"], mended["percent"], mended["complete"]) == (2, "100.0000", True)
    assert await gateway.judge(NOW + timedelta(minutes=30)) == 0


async def test_a_restart_is_a_gap_that_neither_hides_nor_invents_anything(
    recorder: Recorder, gateway: Gateway, worker_db: Database
) -> None:
    await gateway.read(at(0), {OURS: 50})
    await recorder.record(
        an_entry(1, at=at(5)), an_entry(2, at=at(15)), an_entry(3, at=at(16)), an_entry(4, at=at(25))
    )
    await gateway.read(at(10), {OURS: 51})
    # restarted in between: of 10 to 20 it says only what it counted since
    await gateway.read(at(20), {OURS: 1}, restarted=True)
    await gateway.read(at(60), {OURS: 2})
    await recorder.watermark(at(61))
    assert await gateway.judge() == 2
    row = await one(worker_db, "SELECT array_agg(ARRAY[counted, metered] ORDER BY span_id) FROM completeness")
    assert row[0] == [[1, 1], [1, 1]]
    assert await count(worker_db, "gateway_span", "count(*) FILTER (WHERE NOT is_open)") == 2


async def test_a_cutoff_ends_the_span_and_its_answer_names_what_is_missing(
    recorder: Recorder, gateway: Gateway, worker_db: Database
) -> None:
    rule = Patience(timedelta(0), BOUND, timedelta(minutes=15))

    async def answer(now: datetime) -> int:
        async with worker_db.begin() as session:
            return await answer_cutoffs(session, topic=TOPIC, grace=GRACE, patience=rule, now=now)

    await gateway.read(at(0), {OURS: 0})
    await recorder.record(an_entry(1), an_entry(2))
    await ask(worker_db, at(40))
    await recorder.watermark(at(50))
    assert await answer(at(50)) == 0  # nobody has compared yet
    await gateway.read(at(41), {OURS: 5})
    assert await gateway.judge() == 1
    assert await answer(at(50)) == 1
    [period] = await periods(worker_db)
    [total] = period["totals"]
    assert (total["calls"], total["incomplete"]) == (2, {"counted": 5, "metered": 2, "missing": 3})


async def test_a_subscription_without_a_single_metered_call_is_named_too(
    recorder: Recorder, gateway: Gateway, worker_db: Database
) -> None:
    await gateway.read(at(0), {})
    await ask(worker_db, at(40))
    await gateway.read(at(41), {OURS: 5})
    await recorder.watermark(at(50))
    await gateway.judge()
    async with worker_db.begin() as session:
        rule = Patience(timedelta(0), BOUND, timedelta(minutes=15))
        await answer_cutoffs(session, topic=TOPIC, grace=GRACE, patience=rule, now=at(50))
    [total] = (await periods(worker_db))[0]["totals"]
    assert (total["subscription_id"], total["calls"], total["incomplete"]["missing"]) == (SUBSCRIPTION, 0, 5)


async def test_providers_see_their_own_apis_and_operators_all(
    recorder: Recorder, gateway: Gateway, worker_db: Database, client: AsyncClient, tokens: TokenMaker
) -> None:
    await recorder.record(*(an_entry(n) for n in range(9)))
    for minute, counted in ((0, 0), (60, 10), (120, 10)):
        await gateway.read(at(minute), {OURS: counted})
    await recorder.watermark(at(125))
    await gateway.judge()
    path = "/v1/completeness?from=2026-11-15T11:00:00Z&to=2026-11-15T13:00:00Z"

    async def get(organisation: str, **more: Any) -> Any:
        return (
            await client.get(path, headers=tokens.headers(organisation_id=UUID(organisation), **more))
        ).json()

    own = await get(PROVIDER_ORG)
    assert [(i["counted"], i["metered"], i["missing"], i["percent"]) for i in own["items"]] == [
        (10, 9, 1, "90.0000")
    ]
    assert own["unknown_seconds"] == 0
    assert await get(OTHER_ORG, platform_admin=True) == own
    for stranger in (OTHER_ORG, CONSUMER_ORG):
        assert (await get(stranger))["items"] == []
    assert (await client.get(path)).status_code == 401


async def test_a_gateway_that_cannot_be_read_keeps_no_cutoff_waiting_for_ever(
    recorder: Recorder, worker_db: Database
) -> None:
    await recorder.record(an_entry(1))
    await ask(worker_db, at(40))
    await recorder.watermark(at(90))
    rule = Patience(timedelta(0), BOUND, timedelta(minutes=15))
    for now, answered in ((NOW + timedelta(minutes=15), 0), (NOW + timedelta(minutes=16), 1)):
        async with worker_db.begin() as session:
            found = await answer_cutoffs(session, topic=TOPIC, grace=GRACE, patience=rule, now=now)
        assert found == answered
    assert (await periods(worker_db))[0]["totals"][0]["incomplete"] is None


async def test_where_the_settings_say_so_a_cutoff_is_held_until_it_is_known_how_complete_it_is(
    recorder: Recorder, gateway: Gateway, worker_db: Database
) -> None:
    await recorder.record(an_entry(1))
    await ask(worker_db, at(40))
    await recorder.watermark(at(90))
    rule = Patience(timedelta(0), BOUND, timedelta(minutes=15), holds=True)

    async def answer(now: datetime) -> tuple[int, float | None]:
        async with worker_db.begin() as session:
            found = await answer_cutoffs(session, topic=TOPIC, grace=GRACE, patience=rule, now=now)
        return found, REGISTRY.get_sample_value("metering_cutoffs_held")

    assert await answer(NOW + timedelta(minutes=15)) == (0, 0)
    assert await answer(NOW + timedelta(days=3)) == (0, 1)
    for minute in (0, 41):
        await gateway.read(at(minute), {OURS: 1})
    await gateway.judge()
    assert await answer(NOW + timedelta(days=3)) == (1, 0)
