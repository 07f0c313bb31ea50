"""subscriptions.subscription.v1: who buys what, on which terms."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession

from billing.db.subscriptions import SubscriptionRecord
from billing.domain.errors import InvalidTerms
from billing.domain.terms import read_terms
from billing.usecases.record_subscription import record_subscription
from common.events import Incoming
from common.kafka.dead_letters import PoisonMessage


class PhaseIn(BaseModel):
    """One plan version's time in force and its terms."""

    plan_version_id: UUID
    start: AwareDatetime = Field(alias="from")
    until: AwareDatetime | None = None
    terms: dict[str, Any]


class SubscriptionEvent(Incoming, topic="subscriptions.subscription.v1"):
    """What billing reads of a subscription."""

    subscription_id: UUID
    organisation_id: UUID
    provider_organisation_id: UUID
    provider_slug: str
    api_id: UUID
    api_slug: str
    status: str
    started_at: AwareDatetime | None = None
    canceled_at: AwareDatetime | None = None
    phases: list[PhaseIn]


async def on_subscription(session: AsyncSession, event: SubscriptionEvent, *, now: datetime) -> None:
    """The copy is at least as new; closes that waited for these terms go on."""
    try:
        for phase in event.phases:
            read_terms(phase.terms)
    except InvalidTerms as error:
        raise PoisonMessage(f"subscription {event.subscription_id}: {error.detail}") from error
    record = SubscriptionRecord(
        **event.model_dump(exclude={"phases"}),
        phases=[
            {
                "plan_version_id": str(phase.plan_version_id), "from": phase.start.isoformat(),
                "until": phase.until.isoformat() if phase.until else None,
            }
            for phase in event.phases
        ],
        terms={phase.plan_version_id: phase.terms for phase in event.phases},
    )  # fmt: skip
    await record_subscription(session, record, now=now)
