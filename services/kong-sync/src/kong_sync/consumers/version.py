"""`catalog.version.v1`: the versions of an API and their addresses."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncSession

from common.events import Incoming
from kong_sync.db import copies
from kong_sync.domain.records import ApiVersion, Endpoint


class EndpointIn(BaseModel):
    """What we read of an endpoint."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    method: str
    path: str
    scopes: tuple[str, ...] | None = None


class VersionEvent(Incoming, topic="catalog.version.v1"):
    """What we read of an API's version."""

    version_id: UUID
    api_id: UUID
    name: str
    state: str
    is_latest: bool = False
    base_url: str | None = None
    deprecated_at: AwareDatetime | None = None
    sunset_at: AwareDatetime | None = None
    endpoints: tuple[EndpointIn, ...] = ()


async def on_version(session: AsyncSession, event: VersionEvent, *, now: datetime) -> None:  # noqa: ARG001 - a handler's shape
    """Our copy of the version is at least this new."""
    scoped = any(endpoint.scopes is not None for endpoint in event.endpoints)
    await copies.put_version(
        session,
        ApiVersion(
            id=str(event.version_id), version=event.version, api_id=str(event.api_id), name=event.name,
            state=event.state, is_latest=event.is_latest, base_url=event.base_url,
            deprecated_at=event.deprecated_at, sunset_at=event.sunset_at,
            endpoints=tuple(Endpoint(e.method, e.path, e.scopes) for e in event.endpoints if scoped),
        ),
    )  # fmt: skip
