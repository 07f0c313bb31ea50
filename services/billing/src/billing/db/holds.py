"""Invoices that wait for an operator: by run and subscription, why, and who let them go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from billing.domain.errors import InvoiceHoldNotFound


@dataclass(frozen=True, slots=True)
class Hold:
    """Of `counted` calls of a subscription at least `missing` are not in the run's totals."""

    id: UUID
    run_id: UUID
    organisation_id: UUID
    subscription_id: UUID
    counted: int
    metered: int
    missing: int
    since: datetime
    released_at: datetime | None = None
    released_by: UUID | None = None
    note: str | None = None


_PUT = text("""
    INSERT INTO invoice_hold
        (id, run_id, organisation_id, subscription_id, counted, metered, missing, since)
    VALUES (:id, :run_id, :organisation_id, :subscription_id, :counted, :metered, :missing, :since)
    ON CONFLICT (run_id, subscription_id) DO NOTHING""")
_IS_HELD = text("""
    SELECT EXISTS (SELECT 1 FROM invoice_hold
        WHERE run_id = :run_id AND organisation_id = :organisation_id AND released_at IS NULL)""")
_LIST = text("""
    SELECT * FROM invoice_hold
    WHERE (released_at IS NULL OR NOT :only_open) AND (CAST(:run_id AS uuid) IS NULL OR run_id = :run_id)
        AND (CAST(:after AS uuid) IS NULL OR id > :after)
    ORDER BY id LIMIT :limit""")
_RELEASE = text("""
    UPDATE invoice_hold SET released_at = :now, released_by = :released_by, note = :note
    WHERE id = :id AND released_at IS NULL""")
_GET = text("SELECT * FROM invoice_hold WHERE id = :id FOR UPDATE")


async def put(session: AsyncSession, hold: Hold) -> None:
    """The hold is there; one of the same run and subscription stays as it is."""
    await session.execute(_PUT, {name: getattr(hold, name) for name in hold.__slots__})


async def is_held(session: AsyncSession, run_id: UUID, organisation_id: UUID) -> bool:
    """Some subscription of the organisation waits in this run."""
    return bool(await session.scalar(_IS_HELD, {"run_id": run_id, "organisation_id": organisation_id}))


async def list_holds(
    session: AsyncSession, *, only_open: bool, run_id: UUID | None, after: UUID | None, limit: int
) -> list[Hold]:
    """Holds, the oldest first."""
    values = {"only_open": only_open, "run_id": run_id, "after": after, "limit": limit}
    return [_hold(row) for row in await session.execute(_LIST, values)]


async def release(
    session: AsyncSession, hold_id: UUID, *, released_by: UUID, note: str, now: datetime
) -> Hold:
    """The hold is released, with who did it and why; what was said first stays. InvoiceHoldNotFound."""
    await session.execute(_RELEASE, {"id": hold_id, "released_by": released_by, "note": note, "now": now})
    row = (await session.execute(_GET, {"id": hold_id})).first()
    if row is None:
        raise InvoiceHoldNotFound("There is no such hold.")
    return _hold(row)


def _hold(row: Row[Any]) -> Hold:
    return Hold(**{name: getattr(row, name) for name in Hold.__slots__})
