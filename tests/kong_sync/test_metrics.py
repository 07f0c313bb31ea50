"""What the metrics count. (Drift is in test_two_speeds.py; what calls overshoot a quota, metering counts.)"""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from kong_sync.clients.errors import KongUnavailable
from kong_sync.domain.entities import Kind
from kong_sync.domain.limits import Limits
from kong_sync.domain.report import Outcome
from kong_sync.settings import Settings
from tests.kong_sync.double import Faulty
from tests.kong_sync.factories import a_phase, an_id, only
from tests.kong_sync.market import tell
from tests.kong_sync.stage import Stage


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"kong_sync_{name}", labels) or 0.0


async def test_a_stop_is_two_writes_that_nothing_precedes_and_it_is_measured(
    stage: Stage, faults: Faulty
) -> None:
    """In force as soon as Kong has said yes twice: no canary, no list, no other write stands before them."""
    await stage.set_up()
    slower = replace(stage.subscription, version=2, phases=(a_phase(limits=Limits(minute=5)),))
    before = value("stop_seconds_count")
    await tell(stage.db, only(subscriptions=[slower]))
    await stage.serve()
    assert value("stop_seconds_count") == before  # only a stop counts
    reads, done = faults.reads, len(faults.writes)
    await tell(stage.db, only(subscriptions=[replace(slower, version=3, status="paused")]))
    await stage.serve()
    first, second = faults.writes[done : done + 2]
    assert (first[0], "stop:paused" in first[2]["tags"]) == ("PUT", True)
    assert (second[0], "/acls/" in second[1]) == ("DELETE", True)
    assert faults.reads == reads
    assert value("stop_seconds_count") == before + 1


async def test_a_stop_is_measured_from_its_note_however_long_the_note_lay(stage: Stage) -> None:
    await stage.set_up()
    before = value("stop_seconds_sum")
    await tell(stage.db, only(subscriptions=[replace(stage.subscription, version=2, status="paused")]))
    await _age_notes(stage, seconds=100)
    await stage.serve()
    assert 100 <= value("stop_seconds_sum") - before < 200


async def test_a_wish_is_measured_from_its_note_to_live(stage: Stage) -> None:
    await stage.set_up()
    of = {"concern": "subscription"}
    before, count = value("wish_to_live_seconds_sum", **of), value("wish_to_live_seconds_count", **of)
    slower = replace(stage.subscription, version=2, phases=(a_phase(limits=Limits(minute=5)),))
    await tell(stage.db, only(subscriptions=[slower]))
    await _age_notes(stage, seconds=100)
    await stage.serve()
    assert value("wish_to_live_seconds_count", **of) == count + 1
    assert 100 <= value("wish_to_live_seconds_sum", **of) - before < 200


async def _age_notes(stage: Stage, *, seconds: int) -> None:
    """Every note was written that much earlier."""
    async with stage.db.begin() as session:
        await session.execute(
            text("UPDATE due_owner SET noted_at = noted_at - make_interval(secs => :s)"), {"s": seconds}
        )


async def test_a_pass_tells_its_outcome_its_time_and_the_size_of_its_plan(stage: Stage) -> None:
    passes, took = value("passes_total", outcome="applied"), value("pass_seconds_count")
    report = await stage.set_up()
    assert value("passes_total", outcome="applied") == passes + 1
    assert value("pass_seconds_count") == took + 1
    assert value("plan_changes", action="create") == len(report.plan.changes) > 10
    await tell(stage.db, only(subscriptions=[replace(stage.subscription, version=2, status="paused")]))
    await stage.serve()
    sizes = {action: value("plan_changes", action=action) for action in ("create", "update", "delete")}
    assert sizes == {"create": 0, "update": 1, "delete": 1}


async def test_removals_that_wait_for_a_word_are_a_gauge(stage: Stage) -> None:
    await stage.set_up()
    assert value("withheld_deletes") == 0
    async with stage.db.begin() as session:
        await session.execute(text("DELETE FROM subscription_copy"))  # a table was lost
    report = await stage.reconcile()
    assert value("withheld_deletes") == len(report.plan.withheld) > 0


async def test_every_call_to_the_admin_api_is_counted_by_how_it_ended(settings: Settings) -> None:
    def calls(outcome: str) -> float:
        return value("admin_calls_total", method="GET", outcome=outcome)

    ok, refused, unavailable = calls("ok"), calls("refused"), calls("unavailable")
    shipped = settings.gateway()
    await shipped.admin.node()
    assert await shipped.admin.find(Kind.SERVICE, an_id("nobody")) is None
    assert (calls("ok"), calls("refused")) == (ok + 1, refused + 1)
    await shipped.close()
    nowhere = settings.model_copy(update={"kong_admin_url": "http://127.0.0.1:9"}).gateway()
    with pytest.raises(KongUnavailable):
        await nowhere.admin.node()
    assert calls("unavailable") == unavailable + 3  # the attempts
    await nowhere.close()


async def test_refusals_are_counted_by_kind(stage: Stage, faults: Faulty) -> None:
    def fault(_: int, request: httpx.Request) -> int | None:
        return 400 if "/acls/" in request.url.path else None

    faults.fault = fault
    before = value("refusals_total", kind="acls")
    assert (await stage.set_up()).outcome is Outcome.PARTLY
    assert value("refusals_total", kind="acls") == before + 1
