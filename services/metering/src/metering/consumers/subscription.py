"""subscriptions.subscription.v1: who pays, and where the quota stands."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncSession

from common.events import Incoming
from metering.db.copies import SubscriptionCopy
from metering.usecases.take_subscription import take_subscription


class Terms(BaseModel):
    """The one term that metering acts on."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    quota: int | None = None


class Phase(BaseModel):
    """A plan version in force for a time."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    terms: Terms


class SubscriptionEvent(Incoming, topic="subscriptions.subscription.v1"):
    """A subscription as it now stands; the last phase is the one in force."""

    subscription_id: UUID
    organisation_id: UUID
    provider_organisation_id: UUID
    api_id: UUID
    plan_version_id: UUID
    status: str
    phases: list[Phase]


async def on_subscription(session: AsyncSession, event: SubscriptionEvent, *, now: datetime) -> None:
    """Our copy is as new as the event, and this month's quota is judged by its terms."""
    copy = SubscriptionCopy(
        subscription_id=event.subscription_id, version=event.version, consumer_org=event.organisation_id,
        provider_org=event.provider_organisation_id, api_id=event.api_id, plan_version_id=event.plan_version_id,
        status=event.status, quota=event.phases[-1].terms.quota if event.phases else None,
    )  # fmt: skip
    await take_subscription(session, copy, now=now)
