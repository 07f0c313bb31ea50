"""billing.spend.v1: what a subscription's usage of a month costs so far."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from common.events import Incoming
from metering.usecases.take_spend import take_spend


class SpendEvent(Incoming, topic="billing.spend.v1"):
    """Minor units; `month` is its first day."""

    subscription_id: UUID
    month: date
    currency: str
    amount: int


async def on_spend(session: AsyncSession, event: SpendEvent, *, now: datetime) -> None:
    """Our copy is as new as the event, and the rules that watch it are due."""
    await take_spend(
        session, subscription_id=event.subscription_id, month=event.month, version=event.version,
        currency=event.currency, amount=event.amount, now=now,
    )  # fmt: skip
