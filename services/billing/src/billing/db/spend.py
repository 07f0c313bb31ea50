"""What months cost so far, as last published, and which are to be rated anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_NOTE = text("""
    INSERT INTO spend AS t (subscription_id, month, organisation_id, currency, amount, version, due)
    VALUES (:subscription_id, :month, :organisation_id, '', 0, 0, true)
    ON CONFLICT (subscription_id, month) DO UPDATE SET due = true WHERE NOT t.due""")
_BEGIN = text("""
    INSERT INTO spend (subscription_id, month, organisation_id, currency, amount, version, due)
    SELECT subscription_id, :month, organisation_id, '', 0, 0, true FROM subscription
    WHERE started_at < CAST(:now AS timestamptz) AND (canceled_at IS NULL OR canceled_at >= CAST(:month AS date))
    ON CONFLICT DO NOTHING""")
_CLAIM = text("""
    SELECT subscription_id, month, organisation_id, currency, amount, version FROM spend
    WHERE due AND organisation_id = (
        SELECT organisation_id FROM spend WHERE due ORDER BY organisation_id LIMIT 1 FOR UPDATE SKIP LOCKED)
    ORDER BY subscription_id, month FOR UPDATE""")
_PUT = text("""
    UPDATE spend SET currency = :currency, amount = :amount, version = :version, due = false
    WHERE subscription_id = :subscription_id AND month = :month""")
_PUBLISHED = text("""
    SELECT subscription_id, month, organisation_id, currency, amount, version FROM spend
    WHERE version > 0 ORDER BY subscription_id, month""")


@dataclass(frozen=True, slots=True)
class Spend:
    """A subscription's month; version 0 was never published."""

    subscription_id: UUID
    month: date
    organisation_id: UUID
    currency: str
    amount: int
    version: int


async def note_due(
    session: AsyncSession, *, subscription_id: UUID, month: date, organisation_id: UUID
) -> None:
    """The month is to be rated anew."""
    values = {"subscription_id": subscription_id, "month": month, "organisation_id": organisation_id}
    await session.execute(_NOTE, values)


async def begin_month(session: AsyncSession, month: date, *, now: datetime) -> None:
    """Every running subscription has a month to be rated: its fixed fee is due without any usage."""
    await session.execute(_BEGIN, {"month": month, "now": now})


async def claim_due(session: AsyncSession) -> Sequence[Spend]:
    """The months of one organisation that are to be rated anew, locked; none when nothing is due."""
    return [Spend(**row) for row in (await session.execute(_CLAIM)).mappings()]


async def put(session: AsyncSession, spend: Spend) -> None:
    """The stored month is `spend`, and not due any more."""
    names = ("subscription_id", "month", "currency", "amount", "version")
    await session.execute(_PUT, {name: getattr(spend, name) for name in names})


async def all_published(session: AsyncSession) -> Sequence[Spend]:
    """Every month that was told of."""
    return [Spend(**row) for row in (await session.execute(_PUBLISHED)).mappings()]
