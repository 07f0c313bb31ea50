"""The passes that changed something or failed, the newest ones."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kong_sync.db.tables import reconcile_plan
from kong_sync.domain.history import (
    KEPT_PASSES,
    PastChanges,
    PastPlan,
    Trigger,
    is_history,
    past_changes,
    past_plan,
    repeats,
)
from kong_sync.domain.report import PassReport

_LONG = ("changes", "withheld")
_HEAD = [column for column in reconcile_plan.c if column.name not in _LONG]


async def record(session: AsyncSession, report: PassReport, *, id_: UUID, trigger: Trigger) -> None:
    """`report` stands in the history, if it belongs there; a failure that repeats itself is counted, not listed."""
    if not is_history(report):
        return
    plan, changes = past_plan(report, id_=id_, trigger=trigger), past_changes(report)
    newest = select(reconcile_plan).order_by(reconcile_plan.c.id.desc()).limit(1)
    row = (await session.execute(newest)).mappings().first()
    if row is not None and repeats(_plan(row), _changes(row), plan, changes):
        again = {
            "passes": reconcile_plan.c.passes + 1, "finished_at": plan.finished_at, "error": plan.error,
            "canary_seen": plan.canary_seen,
        }  # fmt: skip
        await session.execute(update(reconcile_plan).where(reconcile_plan.c.id == row["id"]).values(again))
        return
    values = {**asdict(plan), "changes": list(changes.changes), "withheld": list(changes.withheld)}
    await session.execute(insert(reconcile_plan).values(**values))
    oldest_kept = select(reconcile_plan.c.id).order_by(reconcile_plan.c.id.desc()).offset(KEPT_PASSES - 1)
    await session.execute(
        delete(reconcile_plan).where(reconcile_plan.c.id < oldest_kept.limit(1).scalar_subquery())
    )


async def list_page(session: AsyncSession, *, before: UUID | None, limit: int) -> list[PastPlan]:
    """At most `limit` plans, the newest first, older than the plan `before`."""
    query = select(*_HEAD).order_by(reconcile_plan.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(reconcile_plan.c.id < before)
    return [_plan(row) for row in (await session.execute(query)).mappings()]


async def find(session: AsyncSession, id_: UUID) -> tuple[PastPlan, PastChanges] | None:
    """A plan with its changes, None when there is none of this id (any more)."""
    query = select(reconcile_plan).where(reconcile_plan.c.id == id_)
    row = (await session.execute(query)).mappings().first()
    return (_plan(row), _changes(row)) if row else None


def _plan(row: Any) -> PastPlan:
    return PastPlan(**{column.name: row[column.name] for column in _HEAD})


def _changes(row: Any) -> PastChanges:
    return PastChanges(row["changes"], row["withheld"])
