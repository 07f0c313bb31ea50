"""metering.quota.v1: how much of its quota a subscription has used. Shown only; the gateway hears it itself."""

from datetime import datetime
from uuid import UUID

from pydantic import AwareDatetime
from sqlalchemy.ext.asyncio import AsyncSession

from common.events import Incoming
from subscriptions.db import copies
from subscriptions.domain.subscription import Quota


class QuotaEvent(Incoming, topic="metering.quota.v1"):
    """The fields that subscriptions read."""

    subscription_id: UUID
    period: str
    limit: int | None
    used: int
    state: str
    until: AwareDatetime | None = None


async def on_quota(session: AsyncSession, event: QuotaEvent, *, now: datetime) -> None:  # noqa: ARG001
    """What is shown of the subscription's month is this, unless something newer is known."""
    quota = Quota(event.period, event.limit, event.used, event.state, event.until)
    await copies.put_quota(session, event.subscription_id, quota, version=event.version)
