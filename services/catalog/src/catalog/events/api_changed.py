"""The API as others see it."""

from datetime import UTC, datetime
from typing import Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict

from catalog.domain.api import Api, Visibility
from catalog.domain.publishing import ApiStatus
from common.events import Event

_COPIED = (
    "version", "provider_organisation_id", "provider_slug", "slug", "name", "description", "base_url", "status",
    "visibility", "latest_version", "upstream_epoch",
)  # fmt: skip


class TimeoutsInEvent(BaseModel):
    """Milliseconds."""

    model_config = ConfigDict(frozen=True)
    connect_ms: int
    read_ms: int
    write_ms: int


class RequestHeadersInEvent(BaseModel):
    """Headers that the provider's server gets, and that it does not get; names in lower case."""

    model_config = ConfigDict(frozen=True)
    add: dict[str, str]
    remove: list[str]


class MaintenanceInEvent(BaseModel):
    """Down until then; null: until further notice."""

    model_config = ConfigDict(frozen=True)
    until: AwareDatetime | None


class SettingsInEvent(BaseModel):
    """How the gateway treats calls to the API; null where the gateway's own default holds."""

    model_config = ConfigDict(frozen=True)
    timeouts: TimeoutsInEvent
    retries: int
    tls_verify: bool | None
    max_body_mb: int | None
    blocked_ips: list[str]
    request_headers: RequestHeadersInEvent
    maintenance: MaintenanceInEvent | None


class ApiChanged(Event, topic="catalog.api.v1", type="api.changed", key="api_id"):
    """The API as it now stands. A deleted draft is told of once more, as retired."""

    api_id: UUID
    provider_organisation_id: UUID
    provider_slug: str
    slug: str
    name: str
    description: str
    base_url: str
    status: ApiStatus
    visibility: Visibility
    latest_version: str | None
    cors_origins: list[str]
    upstream_epoch: int
    settings: SettingsInEvent

    @classmethod
    def of(cls, api: Api) -> Self:
        """The event that tells of `api` as it is."""
        copied = {name: getattr(api, name) for name in _COPIED}
        settings = SettingsInEvent.model_validate(api.settings.to_wire())
        return cls(api_id=api.id, cors_origins=list(api.cors_origins), settings=settings, **copied)

    @classmethod
    def example(cls) -> Self:
        """A valid event with every field set."""
        return cls(
            api_id=UUID("01900000-0000-7000-8000-000000000011"),
            version=3,
            provider_organisation_id=UUID("01900000-0000-7000-8000-000000000001"),
            provider_slug="acme",
            slug="rates",
            name="Rates",
            description="Exchange rates of the day.",
            base_url="https://api.example.com/rates",
            status=ApiStatus.PUBLISHED,
            visibility=Visibility.PUBLIC,
            latest_version="v1",
            cors_origins=["https://app.example.com"],
            upstream_epoch=2,
            settings=SettingsInEvent(
                timeouts=TimeoutsInEvent(connect_ms=5_000, read_ms=60_000, write_ms=60_000),
                retries=2,
                tls_verify=True,
                max_body_mb=10,
                blocked_ips=["192.0.2.0/24"],
                request_headers=RequestHeadersInEvent(add={"x-tenant": "marketplace"}, remove=["x-debug"]),
                maintenance=MaintenanceInEvent(until=datetime(2026, 12, 1, 6, tzinfo=UTC)),
            ),
        )
