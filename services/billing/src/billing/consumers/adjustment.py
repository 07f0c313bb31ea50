"""metering.adjustment.v1: usage that arrived after its month was closed."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import NonNegativeInt
from sqlalchemy.ext.asyncio import AsyncSession

from billing.consumers.period import Month
from billing.db import usage
from billing.db.usage import Adjustment
from common.events import Incoming


class AdjustmentEvent(Incoming, topic="metering.adjustment.v1"):
    """The month's new total."""

    subscription_id: UUID
    plan_version_id: UUID
    organisation_id: UUID
    api_id: UUID
    month: Month
    billable_calls: NonNegativeInt
    units: NonNegativeInt = 0


async def on_adjustment(session: AsyncSession, event: AdjustmentEvent, *, now: datetime) -> None:  # noqa: ARG001
    """The next cut-off bills the difference as an adjustment."""
    await usage.put_adjustment(session, Adjustment(**event.model_dump()))
