"""catalog.version.v1: which scopes a version of an API asks for."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncSession

from common.events import Incoming
from subscriptions.db import copies


class EndpointIn(BaseModel):
    """What is read of an endpoint."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    scopes: list[str] | None = None


class VersionEvent(Incoming, topic="catalog.version.v1"):
    """The fields that subscriptions read."""

    version_id: UUID
    api_id: UUID
    state: str
    endpoints: tuple[EndpointIn, ...] = ()


async def on_version(session: AsyncSession, event: VersionEvent, *, now: datetime) -> None:  # noqa: ARG001
    """The scopes of the version are known as they now are."""
    scopes = {scope for endpoint in event.endpoints for scope in endpoint.scopes or ()}
    values = event.model_dump(exclude={"endpoints"}) | {"scopes": sorted(scopes)}
    await copies.put_version(session, values)
