"""The history: what changed something or failed, the newest first, and not without end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from sqlalchemy import text

from common.db import Database
from common.ids import new_id
from kong_sync.db import plans
from kong_sync.domain.diff import diff
from kong_sync.domain.entities import Concern, Owner
from kong_sync.domain.guard import Plan
from kong_sync.domain.history import KEPT_CHANGES, KEPT_PASSES, PastPlan, Trigger
from kong_sync.domain.report import Outcome, PassReport
from tests.kong_sync.factories import NOW, a_key, an_id, as_kong_returns, wanted

APPLIED = PassReport(
    Outcome.APPLIED, NOW, NOW, plan=Plan(changes=tuple(diff(wanted(), []))), canary_seen=True
)
AWAY = PassReport(Outcome.UNAVAILABLE, NOW, NOW, canary_seen=False, error="The Admin API does not answer.")


async def record(db: Database, *reports: PassReport) -> list[PastPlan]:
    for report in reports:
        async with db.begin() as session:
            await plans.record(session, report, id_=new_id(), trigger=Trigger.SWEEP)
    async with db.begin() as session:
        return await plans.list_page(session, before=None, limit=KEPT_PASSES)


async def test_what_found_nothing_to_do_is_no_history(worker_db: Database) -> None:
    nothing = (Outcome.EQUAL, Outcome.BUSY, Outcome.SWITCHED_OFF)
    assert await record(worker_db, *(replace(APPLIED, outcome=outcome) for outcome in nothing)) == []


async def test_a_plan_comes_back_with_its_changes_and_without_a_digest(worker_db: Database) -> None:
    entities = wanted()
    other = [replace(e, fields={**e.fields, "key": "f" * 64}) if "key" in e.fields else e for e in entities]
    changes = tuple(diff(entities, [as_kong_returns(e) for e in other]))
    report = replace(
        APPLIED, outcome=Outcome.PARTLY, plan=Plan(changes, withheld=changes[:1]), canary_seen=None,
        failures={Owner(Concern.API, an_id("api")): "The gateway refused it."}, finished_at=NOW + timedelta(seconds=2),
    )  # fmt: skip
    (listed,) = await record(worker_db, report)
    assert (listed.outcome, listed.trigger, listed.change_count, listed.withheld_count) == (
        "partly",
        "sweep",
        1,
        1,
    )
    assert listed.failures == {f"api {an_id('api')}": "The gateway refused it."}
    async with worker_db.begin() as session:
        found = await plans.find(session, listed.id)
        assert await plans.find(session, new_id()) is None
        stored = str(
            (await session.execute(text("SELECT reconcile_plan::text FROM reconcile_plan"))).scalar_one()
        )
    assert found is not None
    assert found[0] == listed
    (change,) = found[1].changes
    assert (change["action"], change["id"], change["fields"]) == ("update", changes[0].entity.id, ["key"])
    assert found[1].withheld == found[1].changes
    assert a_key().sha256 not in stored
    assert "f" * 64 not in stored


async def test_the_same_failure_again_is_counted(worker_db: Database) -> None:
    later = replace(AWAY, finished_at=NOW + timedelta(minutes=5), error="Another sentence of the same kind.")
    (away,) = await record(worker_db, AWAY, AWAY, later)
    assert (away.passes, away.finished_at, away.error) == (3, later.finished_at, later.error)
    listed = await record(worker_db, APPLIED, APPLIED, AWAY)
    assert [(plan.outcome, plan.passes) for plan in listed] == [
        ("unavailable", 1), ("applied", 1), ("applied", 1), ("unavailable", 3),
    ]  # fmt: skip


async def test_only_the_newest_are_kept(worker_db: Database) -> None:
    (oldest,) = await record(worker_db, APPLIED)
    async with worker_db.begin() as session:
        await session.execute(
            text(
                """INSERT INTO reconcile_plan SELECT gen.id, trigger, outcome, started_at, finished_at, passes,
                   change_count, withheld_count, failures, canary_seen, error, '[]', '[]'
                   FROM reconcile_plan, unnest(CAST(:ids AS uuid[])) AS gen(id)"""
            ),
            {"ids": [str(new_id()) for _ in range(KEPT_PASSES - 1)]},
        )
    listed = await record(worker_db, APPLIED)
    assert len(listed) == KEPT_PASSES
    assert oldest.id not in {plan.id for plan in listed}


async def test_of_a_large_plan_the_first_changes_are_kept(worker_db: Database) -> None:
    many = tuple(APPLIED.plan.changes[:1] * (KEPT_CHANGES + 5))
    (listed,) = await record(worker_db, replace(APPLIED, plan=Plan(many)))
    async with worker_db.begin() as session:
        found = await plans.find(session, listed.id)
    assert found is not None
    assert (listed.change_count, len(found[1].changes)) == (KEPT_CHANGES + 5, KEPT_CHANGES)
