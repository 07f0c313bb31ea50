"""The API as others see it."""

from typing import Self
from uuid import UUID

from catalog.domain.api import Api, Visibility
from catalog.domain.publishing import ApiStatus
from common.events import Event

_COPIED = (
    "version", "provider_organisation_id", "provider_slug", "slug", "name", "description", "base_url", "status",
    "visibility", "latest_version", "upstream_epoch",
)  # fmt: skip


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

    @classmethod
    def of(cls, api: Api) -> Self:
        """The event that tells of `api` as it is."""
        copied = {name: getattr(api, name) for name in _COPIED}
        return cls(api_id=api.id, cors_origins=list(api.cors_origins), **copied)

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
        )
