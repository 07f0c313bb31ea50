"""`subscriptions.subscription.v1`: who may call what, at which rate, and whether at present."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PositiveInt
from sqlalchemy.ext.asyncio import AsyncSession

from common.events import Incoming
from kong_sync.db import copies
from kong_sync.domain.limits import Limits
from kong_sync.domain.records import Phase, Subscription


class RateLimits(BaseModel):
    """Calls allowed in each window."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    second: PositiveInt | None = None
    minute: PositiveInt | None = None
    hour: PositiveInt | None = None
    day: PositiveInt | None = None

    @property
    def limits(self) -> Limits:
        """As a value."""
        return Limits(self.second, self.minute, self.hour, self.day)


class Terms(BaseModel):
    """What we read of a plan as sold."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    rate_limits: RateLimits = RateLimits()
    units_header: str | None = None
    units_cap: PositiveInt | None = None
    counted_statuses: tuple[str, ...] = ()


class PhaseIn(BaseModel):
    """A plan version in force over time."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    plan_version_id: UUID
    since: AwareDatetime = Field(alias="from")
    until: AwareDatetime | None = None
    terms: Terms = Terms()

    @property
    def phase(self) -> Phase:
        """As a value."""
        terms = self.terms
        return Phase(
            str(self.plan_version_id), self.since, self.until, terms.rate_limits.limits, terms.units_header,
            terms.units_cap, terms.counted_statuses,
        )  # fmt: skip


class SubscriptionEvent(Incoming, topic="subscriptions.subscription.v1"):
    """What we read of a subscription."""

    subscription_id: UUID
    organisation_id: UUID
    provider_organisation_id: UUID
    api_id: UUID
    plan_version_id: UUID
    status: str
    canceled_at: AwareDatetime | None = None
    limits_override: RateLimits | None = None
    phases: tuple[PhaseIn, ...] = ()


async def on_subscription(session: AsyncSession, event: SubscriptionEvent, *, now: datetime) -> None:  # noqa: ARG001 - a handler's shape
    """Our copy of the subscription is at least this new."""
    override = event.limits_override
    await copies.put_subscription(
        session,
        Subscription(
            id=str(event.subscription_id), version=event.version, organisation_id=str(event.organisation_id),
            provider_id=str(event.provider_organisation_id), api_id=str(event.api_id),
            plan_version_id=str(event.plan_version_id), status=event.status, canceled_at=event.canceled_at,
            limits_override=override.limits if override else None,
            phases=tuple(sorted((p.phase for p in event.phases), key=lambda p: p.since)),
        ),
    )  # fmt: skip
