"""catalog.api.v1: what can be subscribed to."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from common.events import Incoming
from subscriptions.db import copies
from subscriptions.domain.subscription import ApiCopy


class ApiEvent(Incoming, topic="catalog.api.v1"):
    """The fields that subscriptions read."""

    api_id: UUID
    provider_organisation_id: UUID
    provider_slug: str
    slug: str
    name: str
    status: str
    visibility: str


async def on_api(session: AsyncSession, event: ApiEvent, *, now: datetime) -> None:  # noqa: ARG001
    """The API is known as it now is."""
    await copies.put_api(session, ApiCopy(**event.model_dump()))
