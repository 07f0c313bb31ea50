"""catalog.api.v1: whose an API is."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from common.events import Incoming
from metering.db import alert_readings


class ApiEvent(Incoming, topic="catalog.api.v1"):
    """An API as it now stands."""

    api_id: UUID
    provider_organisation_id: UUID


async def on_api(session: AsyncSession, event: ApiEvent, *, now: datetime) -> None:  # noqa: ARG001
    """Our copy is as new as the event."""
    await alert_readings.put_api(
        session, api_id=event.api_id, version=event.version, provider_org=event.provider_organisation_id
    )
