"""Transfers to providers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True, slots=True)
class Payout:
    """One transfer to a provider's connected account: started, paid or failed."""

    id: UUID
    organisation_id: UUID
    currency: str
    amount: int
    status: str
    created_at: datetime
    stripe_transfer_id: str | None = None
    finished_at: datetime | None = None
    failures: int = 0


_INSERT = text("""
    INSERT INTO payout (id, organisation_id, currency, amount, status, created_at, work_after)
    VALUES (:id, :organisation_id, :currency, :amount, 'started', :now, :now) ON CONFLICT DO NOTHING RETURNING id""")
_GET = text("SELECT * FROM payout WHERE id = :id FOR UPDATE")
_CLAIM = text("""
    UPDATE payout SET work_after = :lease_until WHERE id = (
        SELECT id FROM payout WHERE status = 'started' AND work_after <= :now
        ORDER BY work_after, id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING *""")
_FINISH = text("""
    UPDATE payout SET status = :status, stripe_transfer_id = :transfer_id, finished_at = :now, last_error = :error
    WHERE id = :id AND status = 'started' RETURNING id""")
_FAILED = text("""
    UPDATE payout SET failures = failures + 1, last_error = :error, work_after = :again_at WHERE id = :id""")
_REFUSED_SINCE = text("""
    SELECT EXISTS (SELECT 1 FROM payout WHERE organisation_id = :organisation_id AND currency = :currency
        AND (status = 'started' OR (status = 'failed' AND finished_at > :since)))""")
_LIST = text("""
    SELECT * FROM payout WHERE organisation_id = :organisation_id AND (CAST(:after AS uuid) IS NULL OR id < :after)
    ORDER BY id DESC LIMIT :limit""")
_PAID_OUT = text("""
    SELECT currency, sum(amount)::bigint AS amount FROM payout
    WHERE organisation_id = :organisation_id AND status = 'paid' GROUP BY currency""")
_ALL = text("SELECT * FROM payout ORDER BY id")


async def insert(session: AsyncSession, payout: Payout) -> bool:
    """The payout is started; False when one of this provider and currency is under way."""
    values = {
        "id": payout.id, "organisation_id": payout.organisation_id, "currency": payout.currency,
        "amount": payout.amount, "now": payout.created_at,
    }  # fmt: skip
    return await session.scalar(_INSERT, values) is not None


async def claim_started(session: AsyncSession, *, now: datetime, lease_until: datetime) -> Payout | None:
    """A payout to be sent, leased."""
    row = (await session.execute(_CLAIM, {"now": now, "lease_until": lease_until})).first()
    return None if row is None else _payout(row)


async def finish(
    session: AsyncSession,
    payout_id: UUID,
    *,
    status: str,
    transfer_id: str | None,
    error: str | None,
    now: datetime,
) -> bool:
    """The payout is paid or failed; False when that was recorded before."""
    values = {"id": payout_id, "status": status, "transfer_id": transfer_id, "error": error, "now": now}
    return await session.scalar(_FINISH, values) is not None


async def record_failure(session: AsyncSession, payout_id: UUID, *, error: str, again_at: datetime) -> None:
    """Nobody knows whether it was sent: the same request is made again from `again_at` on."""
    await session.execute(_FAILED, {"id": payout_id, "error": error[:500], "again_at": again_at})


async def is_held_back(
    session: AsyncSession, organisation_id: UUID, currency: str, *, since: datetime
) -> bool:
    """One is under way, or Stripe refused one after `since`."""
    names = {"organisation_id": organisation_id, "currency": currency, "since": since}
    return bool(await session.scalar(_REFUSED_SINCE, names))


async def list_of(
    session: AsyncSession, organisation_id: UUID, *, after: UUID | None, limit: int
) -> list[Payout]:
    """A provider's payouts, the newest first."""
    values = {"organisation_id": organisation_id, "after": after, "limit": limit}
    return [_payout(row) for row in await session.execute(_LIST, values)]


async def paid_out(session: AsyncSession, organisation_id: UUID) -> dict[str, int]:
    """What a provider was sent so far, by currency."""
    rows = await session.execute(_PAID_OUT, {"organisation_id": organisation_id})
    return {row.currency: row.amount for row in rows}


async def all_of_them(session: AsyncSession) -> list[Payout]:
    """Every payout, for reconciliation."""
    return [_payout(row) for row in await session.execute(_ALL)]


def _payout(row: Row[Any]) -> Payout:
    return Payout(
        row.id, row.organisation_id, row.currency, row.amount, row.status, row.created_at, row.stripe_transfer_id,
        row.finished_at, row.failures,
    )  # fmt: skip
