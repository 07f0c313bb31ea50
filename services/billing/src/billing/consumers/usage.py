"""metering.usage.v1: a day's usage so far, to show what the next invoice would say."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from pydantic import NonNegativeInt
from sqlalchemy.ext.asyncio import AsyncSession

from billing.db.usage import Day
from billing.usecases.take_usage import take_usage
from common.events import Incoming


class UsageEvent(Incoming, topic="metering.usage.v1"):
    """Absolute values of one subscription, plan version and day."""

    subscription_id: UUID
    plan_version_id: UUID
    organisation_id: UUID
    api_id: UUID
    date: date
    calls: NonNegativeInt
    billable_calls: NonNegativeInt
    units: NonNegativeInt = 0


async def on_usage(session: AsyncSession, event: UsageEvent, *, now: datetime) -> None:  # noqa: ARG001
    """The day's copy is at least as new, and what its month costs is due to be told."""
    await take_usage(session, Day(day=event.date, **event.model_dump(exclude={"date"})))
