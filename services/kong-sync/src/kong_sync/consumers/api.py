"""`catalog.api.v1`: where an API lives and whether it is published."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, NonNegativeInt, PositiveInt
from sqlalchemy.ext.asyncio import AsyncSession

from common.events import Incoming
from kong_sync.db import copies
from kong_sync.domain.records import Api, ApiSettings


class Timeouts(BaseModel):
    """Milliseconds."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    connect_ms: PositiveInt = 5_000
    read_ms: PositiveInt = 60_000
    write_ms: PositiveInt = 60_000


class RequestHeaders(BaseModel):
    """Headers that the provider's server gets, and that it does not get."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    add: dict[str, str] = {}
    remove: tuple[str, ...] = ()


class Maintenance(BaseModel):
    """Down until then; None: until further notice."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    until: AwareDatetime | None = None


class SettingsIn(BaseModel):
    """How calls to the API are treated."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    timeouts: Timeouts = Timeouts()
    retries: NonNegativeInt = 2
    tls_verify: bool | None = None
    max_body_mb: PositiveInt | None = None
    blocked_ips: tuple[str, ...] = ()
    request_headers: RequestHeaders = RequestHeaders()
    maintenance: Maintenance | None = None

    @property
    def settings(self) -> ApiSettings:
        """As a value."""
        return ApiSettings(
            **self.timeouts.model_dump(), retries=self.retries, tls_verify=self.tls_verify,
            max_body_mb=self.max_body_mb, blocked_ips=self.blocked_ips,
            set_headers=tuple(sorted(self.request_headers.add.items())), remove_headers=self.request_headers.remove,
            in_maintenance=self.maintenance is not None,
            maintenance_until=self.maintenance.until if self.maintenance else None,
        )  # fmt: skip


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
    settings: SettingsIn = SettingsIn()


async def on_api(session: AsyncSession, event: ApiEvent, *, now: datetime) -> None:  # noqa: ARG001 - a handler's shape
    """Our copy of the API is at least this new."""
    await copies.put_api(
        session,
        Api(
            id=str(event.api_id), version=event.version, provider_id=str(event.provider_organisation_id),
            provider_slug=event.provider_slug, slug=event.slug, base_url=event.base_url, status=event.status,
            latest_version=event.latest_version, cors_origins=event.cors_origins,
            upstream_epoch=event.upstream_epoch, settings=event.settings.settings,
        ),
    )  # fmt: skip
