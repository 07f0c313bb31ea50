"""catalog.plan.v1: what is sold, and by which terms."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from common.events import Incoming
from subscriptions.db import copies
from subscriptions.domain.subscription import PlanCopy


class PlanEvent(Incoming, topic="catalog.plan.v1"):
    """The fields that subscriptions read. The terms are kept whole and handed on as they came."""

    plan_id: UUID
    plan_version_id: UUID
    api_id: UUID
    api_slug: str
    provider_organisation_id: UUID
    provider_slug: str
    status: str
    requires_approval: bool
    terms: dict[str, Any]


async def on_plan(session: AsyncSession, event: PlanEvent, *, now: datetime) -> None:  # noqa: ARG001
    """The plan is known as it now is."""
    await copies.put_plan(session, PlanCopy(**event.model_dump()))
