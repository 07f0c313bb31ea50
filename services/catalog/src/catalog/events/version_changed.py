"""A version of an API as others see it: what can be called, never the document."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict

from catalog.domain.api import ApiVersion, Endpoint, VersionState
from catalog.domain.versioning import matched_endpoints
from common.events import Event


class EndpointInEvent(BaseModel):
    """One thing that can be called, by method and path template, and how many units a call to it is.

    `scopes` are all that a restricted key needs, none when empty; null: not known, so no restricted key passes.
    """

    model_config = ConfigDict(frozen=True)
    endpoint_id: UUID
    method: str
    path: str
    weight: int
    scopes: list[str] | None


class VersionChanged(Event, topic="catalog.version.v1", type="version.changed", key="version_id"):
    """The version as it now stands, with every endpoint that calls can be matched to."""

    version_id: UUID
    api_id: UUID
    provider_organisation_id: UUID
    name: str
    state: VersionState
    is_latest: bool
    base_url: str | None
    deprecated_at: AwareDatetime | None
    sunset_at: AwareDatetime | None
    endpoints: list[EndpointInEvent]

    @classmethod
    def of(cls, version: ApiVersion, endpoints: Iterable[Endpoint]) -> Self:
        """The event that tells of `version` as it is."""
        return cls(
            version_id=version.id,
            version=version.version,
            api_id=version.api_id,
            provider_organisation_id=version.provider_organisation_id,
            name=version.name,
            state=version.state,
            is_latest=version.is_latest,
            base_url=version.base_url,
            deprecated_at=version.deprecated_at,
            sunset_at=version.sunset_at,
            endpoints=[
                EndpointInEvent(
                    endpoint_id=e.id,
                    method=e.method,
                    path=path,
                    weight=e.weight,
                    scopes=None if e.scopes is None else list(e.scopes),
                )
                for path, e in matched_endpoints(endpoints)
            ],
        )

    @classmethod
    def example(cls) -> Self:
        """A valid event with every field set."""
        return cls(
            version_id=UUID("01900000-0000-7000-8000-000000000021"),
            version=2,
            api_id=UUID("01900000-0000-7000-8000-000000000011"),
            provider_organisation_id=UUID("01900000-0000-7000-8000-000000000001"),
            name="v1",
            state=VersionState.DEPRECATED,
            is_latest=True,
            base_url="https://api.example.com/rates/v1",
            deprecated_at=datetime(2026, 11, 1, tzinfo=UTC),
            sunset_at=datetime(2027, 5, 1, tzinfo=UTC),
            endpoints=[
                EndpointInEvent(
                    endpoint_id=UUID("01900000-0000-7000-8000-000000000031"),
                    method="GET",
                    path="/rates/{currency}",
                    weight=1,
                    scopes=["rates:read"],
                )
            ],
        )
