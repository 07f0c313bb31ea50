"""catalog.version.v1: the endpoints that calls are attributed to."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession

from common.events import Incoming
from metering.db import copies
from metering.domain.matcher import Endpoint


class EndpointPart(BaseModel):
    """One operation."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    endpoint_id: UUID
    method: str
    path: str
    weight: int = Field(default=1, ge=0, le=1_000_000)


class VersionEvent(Incoming, topic="catalog.version.v1"):
    """An API version as it now stands."""

    version_id: UUID
    api_id: UUID
    name: str
    endpoints: tuple[EndpointPart, ...] = ()


async def on_version(session: AsyncSession, event: VersionEvent, *, now: datetime) -> None:  # noqa: ARG001
    """Our copy is as new as the event."""
    await copies.put_version(
        session, version_id=event.version_id, version=event.version, api_id=event.api_id, name=event.name,
        endpoints=[Endpoint(str(e.endpoint_id), e.method.upper(), e.path, e.weight) for e in event.endpoints],
    )  # fmt: skip
