"""Invoice runs, and the work that one consists of: a task per organisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from billing.domain.errors import InvoiceRunNotFound


@dataclass(frozen=True, slots=True)
class InvoiceRun:
    """A cut-off and everything that is invoiced for it. Its id is the cut-off's."""

    id: UUID
    organisation_id: UUID | None
    until: datetime
    status: str
    requested_at: datetime


@dataclass(frozen=True, slots=True)
class Held:
    """Usage that could not be priced, and why."""

    organisation_id: UUID
    subscription_id: UUID
    plan_version_id: UUID
    reason: str


@dataclass(frozen=True, slots=True)
class Task:
    """One organisation of a run, locked for this transaction."""

    run: InvoiceRun
    organisation_id: UUID


_INSERT = text("""
    INSERT INTO invoice_run (id, organisation_id, until, status, requested_at)
    VALUES (:id, :organisation_id, :until, 'waiting', :now) ON CONFLICT DO NOTHING RETURNING id""")
_SAME = text("""
    SELECT * FROM invoice_run
    WHERE organisation_id IS NOT DISTINCT FROM CAST(:organisation_id AS uuid) AND until = :until""")
_GET = text("SELECT * FROM invoice_run WHERE id = :id")
_INVOICES = text("""
    SELECT id FROM invoice WHERE until = :until AND status <> 'draft'
        AND (CAST(:organisation_id AS uuid) IS NULL OR organisation_id = :organisation_id) ORDER BY number""")
_HELD = text(
    "SELECT * FROM unpriced WHERE run_id = :run_id ORDER BY subscription_id, plan_version_id LIMIT 100"
)
_CLAIM_COMPLETE = text("""
    SELECT r.* FROM invoice_run r WHERE r.status = 'waiting' AND EXISTS (
        SELECT 1 FROM period_part p WHERE p.cutoff_id = r.id GROUP BY p.parts HAVING count(*) >= p.parts)
    ORDER BY r.requested_at LIMIT 1 FOR UPDATE SKIP LOCKED""")
_TASKS = text("""
    INSERT INTO invoice_task (run_id, organisation_id, status, updated_at)
    SELECT :run_id, o, 'pending', :now FROM unnest(CAST(:organisations AS uuid[])) AS o ON CONFLICT DO NOTHING""")
_STATUS = text("UPDATE invoice_run SET status = :status WHERE id = :id")
_CLAIM_TASK = text("""
    SELECT t.organisation_id AS task_organisation_id, r.* FROM invoice_task t JOIN invoice_run r ON r.id = t.run_id
    WHERE t.status = 'pending' ORDER BY r.until, t.run_id, t.organisation_id
    LIMIT 1 FOR UPDATE OF t SKIP LOCKED""")
_FINISH = text("""
    UPDATE invoice_task SET status = :status, updated_at = :now
    WHERE run_id = :run_id AND organisation_id = :organisation_id""")
_RELEASE = text("""
    UPDATE invoice_task SET status = 'pending', updated_at = :now
    WHERE organisation_id = :organisation_id AND status = 'held'""")
_CARRIED = text("""
    SELECT r.until FROM invoice_task t JOIN invoice_run r ON r.id = t.run_id
    WHERE t.organisation_id = :organisation_id AND t.status = 'carried' ORDER BY r.until""")
_CARRIERS = text("""
    SELECT DISTINCT organisation_id FROM invoice_task
    WHERE status = 'carried' AND (CAST(:organisation_id AS uuid) IS NULL OR organisation_id = :organisation_id)""")
_SETTLE = text("""
    UPDATE invoice_task SET status = 'done', updated_at = :now
    WHERE organisation_id = :organisation_id AND status = 'carried'""")
_DONE = text("""
    UPDATE invoice_run r SET status = 'done', done_at = :now WHERE r.status = 'invoicing'
        AND NOT EXISTS (SELECT 1 FROM invoice_task t WHERE t.run_id = r.id AND t.status IN ('pending', 'held'))
        AND NOT EXISTS (SELECT 1 FROM invoice i WHERE i.status = 'draft' AND i.until = r.until
            AND (r.organisation_id IS NULL OR i.organisation_id = r.organisation_id))
    RETURNING r.id""")
_HOLD = text("""
    INSERT INTO unpriced (run_id, subscription_id, plan_version_id, organisation_id, reason, since)
    VALUES (:run_id, :subscription_id, :plan_version_id, :organisation_id, :reason, :now) ON CONFLICT DO NOTHING""")
_FORGET = text("DELETE FROM unpriced WHERE run_id = :run_id AND organisation_id = :organisation_id")
_UNFINISHED = text("SELECT * FROM invoice_run WHERE status = 'waiting' ORDER BY requested_at")
_HELD_COUNT = text("SELECT count(*) FROM invoice_task WHERE status = 'held'")


async def insert_if_absent(
    session: AsyncSession, *, run_id: UUID, organisation_id: UUID | None, until: datetime, now: datetime
) -> tuple[InvoiceRun, bool]:
    """The run for this organisation (None: all) and cut-off, and whether this call made it."""
    names = {"organisation_id": organisation_id, "until": until}
    made = await session.scalar(_INSERT, names | {"id": run_id, "now": now})
    row = (await session.execute(_SAME, names)).one()
    return _run(row), made is not None


async def get(session: AsyncSession, run_id: UUID) -> InvoiceRun:
    """The run; InvoiceRunNotFound."""
    row = (await session.execute(_GET, {"id": run_id})).first()
    if row is None:
        raise InvoiceRunNotFound("There is no such invoice run.")
    return _run(row)


async def invoice_ids(session: AsyncSession, run: InvoiceRun) -> list[UUID]:
    """The issued invoices of the run's cut-off, by number."""
    values = {"until": run.until, "organisation_id": run.organisation_id}
    return list((await session.scalars(_INVOICES, values)).all())


async def held(session: AsyncSession, run_id: UUID) -> list[Held]:
    """What could not be priced so far; at most a hundred."""
    rows = await session.execute(_HELD, {"run_id": run_id})
    return [Held(r.organisation_id, r.subscription_id, r.plan_version_id, r.reason) for r in rows]


async def claim_complete(session: AsyncSession) -> InvoiceRun | None:
    """A waiting run whose totals have all arrived, locked."""
    row = (await session.execute(_CLAIM_COMPLETE)).first()
    return None if row is None else _run(row)


async def start(session: AsyncSession, run_id: UUID, organisations: Sequence[UUID], *, now: datetime) -> None:
    """The run has one task for each organisation."""
    values = {"run_id": run_id, "organisations": sorted(organisations), "now": now}
    await session.execute(_TASKS, values)
    await session.execute(_STATUS, {"id": run_id, "status": "invoicing"})


async def claim_task(session: AsyncSession) -> Task | None:
    """A task that nobody has, of the oldest cut-off first, locked until this transaction ends."""
    row = (await session.execute(_CLAIM_TASK)).first()
    return None if row is None else Task(_run(row), row.task_organisation_id)


async def finish_task(session: AsyncSession, task: Task, *, status: str, now: datetime) -> None:
    """The task is done, carried (to the next cut-off) or held (for terms)."""
    names = {"run_id": task.run.id, "organisation_id": task.organisation_id}
    await session.execute(_FINISH, names | {"status": status, "now": now})


async def release(session: AsyncSession, organisation_id: UUID, *, now: datetime) -> None:
    """What was held for this organisation is tried again."""
    await session.execute(_RELEASE, {"organisation_id": organisation_id, "now": now})


async def carried(session: AsyncSession, organisation_id: UUID) -> list[datetime]:
    """Cut-offs at which nothing was due although there were lines."""
    return list((await session.scalars(_CARRIED, {"organisation_id": organisation_id})).all())


async def carriers(session: AsyncSession, *, organisation_id: UUID | None) -> list[UUID]:
    """Organisations with something carried: the next cut-off has to look at them, whatever else they do."""
    return list((await session.scalars(_CARRIERS, {"organisation_id": organisation_id})).all())


async def settle_carried(session: AsyncSession, organisation_id: UUID, *, now: datetime) -> None:
    """What was carried is on an invoice now."""
    await session.execute(_SETTLE, {"organisation_id": organisation_id, "now": now})


async def finish_complete(session: AsyncSession, *, now: datetime) -> list[UUID]:
    """Runs with no task left and no draft are done."""
    return list((await session.scalars(_DONE, {"now": now})).all())


async def hold(session: AsyncSession, run_id: UUID, item: Held, *, now: datetime) -> None:
    """`item` is named as unpriced in this run."""
    await session.execute(
        _HOLD,
        {
            "run_id": run_id, "subscription_id": item.subscription_id, "plan_version_id": item.plan_version_id,
            "organisation_id": item.organisation_id, "reason": item.reason, "now": now,
        },
    )  # fmt: skip


async def forget_held(session: AsyncSession, task: Task) -> None:
    """The task starts with nothing unpriced."""
    await session.execute(_FORGET, {"run_id": task.run.id, "organisation_id": task.organisation_id})


async def all_waiting(session: AsyncSession) -> list[InvoiceRun]:
    """Runs whose totals have not all come."""
    return [_run(row) for row in await session.execute(_UNFINISHED)]


async def count_held(session: AsyncSession) -> int:
    """How many organisations' closes wait for terms."""
    return int(await session.scalar(_HELD_COUNT) or 0)


def _run(row: Row[Any]) -> InvoiceRun:
    return InvoiceRun(row.id, row.organisation_id, row.until, row.status, row.requested_at)
