"""`catalog.api.v1`: where an API lives and whether it is published."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from common.events import Incoming
from kong_sync.db import copies
from kong_sync.domain.records import Api


class ApiEvent(Incoming, topic="catalog.api.v1"):
    """What we read of an API."""

    api_id: UUID
    provider_organisation_id: UUID
    provider_slug: str
    slug: str
    base_url: str | None = None
    status: str
    latest_version: str | None = None
    cors_origins: tuple[str, ...] = ()
    upstream_epoch: int = 1


async def on_api(session: AsyncSession, event: ApiEvent, *, now: datetime) -> None:  # noqa: ARG001 - a handler's shape
    """Our copy of the API is at least this new."""
    await copies.put_api(
        session,
        Api(
            id=str(event.api_id), version=event.version, provider_id=str(event.provider_organisation_id),
            provider_slug=event.provider_slug, slug=event.slug, base_url=event.base_url, status=event.status,
            latest_version=event.latest_version, cors_origins=event.cors_origins,
            upstream_epoch=event.upstream_epoch,
        ),
    )  # fmt: skip
