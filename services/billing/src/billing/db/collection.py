"""How far an invoice has come at Stripe, and which worker has it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

_STATE = text(
    "SELECT id, organisation_id, stripe_invoice_id, stripe_state, payment_attempt FROM invoice WHERE id = :id"
)
_CLAIM = text("""
    UPDATE invoice SET work_after = :lease_until WHERE id = (
        SELECT id FROM invoice WHERE status = 'open' AND stripe_state <> 'open'
            AND (work_after IS NULL OR work_after <= :now)
        ORDER BY work_after NULLS FIRST, id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id, failures""")
_DRAFTED = text("""
    UPDATE invoice SET stripe_invoice_id = :stripe_invoice_id, stripe_state = 'draft'
    WHERE id = :id AND stripe_state = 'none'""")
_OPENED = text("""
    UPDATE invoice SET stripe_state = 'open', failures = 0, last_error = NULL
    WHERE id = :id AND stripe_state = 'draft'""")
_FAILED = text("""
    UPDATE invoice SET failures = failures + 1, last_error = :error, work_after = :again_at WHERE id = :id""")
_DECLINED = text("""
    UPDATE invoice SET payment_attempt = payment_attempt + 1 WHERE id = :id AND payment_attempt = :attempt""")


@dataclass(frozen=True, slots=True)
class Collection:
    """Where an invoice stands at Stripe. `attempt` numbers the payment that is made next."""

    invoice_id: UUID
    organisation_id: UUID
    stripe_invoice_id: str | None
    state: str
    attempt: int


async def state_of(session: AsyncSession, invoice_id: UUID) -> Collection:
    """How far the invoice has come."""
    return _collection((await session.execute(_STATE, {"id": invoice_id})).one())


async def claim_unsent(
    session: AsyncSession, *, now: datetime, lease_until: datetime
) -> tuple[UUID, int] | None:
    """An open invoice that Stripe has not got whole, leased, and how often sending it failed before."""
    row = (await session.execute(_CLAIM, {"now": now, "lease_until": lease_until})).first()
    return None if row is None else (row.id, row.failures)


async def record_drafted(session: AsyncSession, invoice_id: UUID, stripe_invoice_id: str) -> None:
    """The invoice exists at Stripe, without lines."""
    await session.execute(_DRAFTED, {"id": invoice_id, "stripe_invoice_id": stripe_invoice_id})


async def record_opened(session: AsyncSession, invoice_id: UUID) -> None:
    """Stripe has it whole and final."""
    await session.execute(_OPENED, {"id": invoice_id})


async def record_failure(session: AsyncSession, invoice_id: UUID, *, error: str, again_at: datetime) -> None:
    """Sending failed; a worker may take it again from `again_at` on."""
    await session.execute(_FAILED, {"id": invoice_id, "error": error[:500], "again_at": again_at})


async def record_declined(session: AsyncSession, invoice_id: UUID, *, attempt: int) -> None:
    """That attempt has a known outcome: the next payment is another request."""
    await session.execute(_DECLINED, {"id": invoice_id, "attempt": attempt})


def _collection(row: Row[Any]) -> Collection:
    return Collection(
        row.id, row.organisation_id, row.stripe_invoice_id, row.stripe_state, row.payment_attempt
    )
