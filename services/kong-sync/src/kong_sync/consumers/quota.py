"""`metering.quota.v1`: how far a subscription is with its quota."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import AwareDatetime
from sqlalchemy.ext.asyncio import AsyncSession

from common.events import Incoming
from kong_sync.db import copies
from kong_sync.domain.records import Quota


class QuotaEvent(Incoming, topic="metering.quota.v1"):
    """What we read of a quota: whether it is reached, and until when that holds."""

    subscription_id: UUID
    period: str
    state: str
    until: AwareDatetime


async def on_quota(session: AsyncSession, event: QuotaEvent, *, now: datetime) -> None:  # noqa: ARG001 - a handler's shape
    """Our copy of this month's quota is at least this new."""
    await copies.put_quota(
        session,
        Quota(str(event.subscription_id), event.period, event.version, event.state, event.until),
    )
