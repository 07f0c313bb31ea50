"""Keep our copy of what a subscription's month costs so far."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from metering.db import alert_readings, alerts


async def take_spend(
    session: AsyncSession, *, subscription_id: UUID, month: date, version: int, currency: str, amount: int,
    now: datetime,
) -> None:  # fmt: skip
    """The copy is stored if it is newer, and the rules that watch the subscription are looked at again."""
    newer = await alert_readings.put_spend(
        session,
        subscription_id=subscription_id,
        month=month,
        version=version,
        currency=currency,
        amount=amount,
    )
    if newer:
        await alerts.note_changed(session, subscriptions=[subscription_id], apis=[], now=now)
