"""The catalogue's values: an API, its versions, endpoints and plans."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from catalog.domain.api_settings import DEFAULT_SETTINGS, ApiSettings
from catalog.domain.publishing import VISIBLE, ApiStatus
from catalog.domain.terms import Terms


class Visibility(StrEnum):
    """Who finds an API: everybody, whoever has the link, or nobody but its provider."""

    PUBLIC = "public"
    UNLISTED = "unlisted"
    PRIVATE = "private"


class VersionState(StrEnum):
    """Where one version of an API stands."""

    ACTIVE = "active"
    DEPRECATED = "deprecated"
    SUNSET = "sunset"


class PlanStatus(StrEnum):
    """Whether a plan is sold. What was sold stays sold."""

    ACTIVE = "active"
    ARCHIVED = "archived"


@dataclass(frozen=True, slots=True)
class Gateway:
    """What kong-sync last said about an API."""

    state: str
    reason: str | None = None
    proxy_url: str | None = None


@dataclass(frozen=True, slots=True)
class Statistics:
    """What metering measured of an API in the last `days` days. None: there was no call to measure."""

    days: int
    calls: int
    subscribers: int
    latency_ms_p50: int | None
    latency_ms_p95: int | None
    uptime_percent: Decimal | None
    measured_at: datetime


@dataclass(frozen=True, slots=True)
class Api:
    """One API of one provider. `version` rises by one with every change."""

    id: UUID
    version: int
    provider_organisation_id: UUID
    provider_slug: str
    slug: str
    name: str
    description: str
    category: str
    base_url: str
    created_at: datetime
    updated_at: datetime
    status: ApiStatus = ApiStatus.DRAFT
    visibility: Visibility = Visibility.PUBLIC
    long_description: str = ""
    website: str | None = None
    logo_url: str | None = None
    tags: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    latest_version: str | None = None
    featured: bool = False
    lowest_fee: int | None = None  # of its active plans, minor units; for sorting only
    total_calls: int = 0
    review_note: str | None = None
    published_at: datetime | None = None  # the first time; never unset
    settings: ApiSettings = DEFAULT_SETTINGS
    upstream_epoch: int = 1  # of the secrets that the gateway shows to the provider
    gateway: Gateway | None = None
    statistics: Statistics | None = None  # None while metering has said nothing

    @property
    def shown_gateway(self) -> Gateway:
        """What is known of it at the gateway; before kong-sync said anything, on its way once it is public."""
        return self.gateway or Gateway("pending" if self.status in VISIBLE else "not_provisioned")

    @property
    def is_visible(self) -> bool:
        """Everybody may see it, whoever has the link included."""
        return self.status in VISIBLE and self.visibility is not Visibility.PRIVATE


@dataclass(frozen=True, slots=True)
class ApiVersion:
    """One version of an API, as it stands in the gateway's path."""

    id: UUID
    version: int
    api_id: UUID
    provider_organisation_id: UUID
    name: str
    created_at: datetime
    state: VersionState = VersionState.ACTIVE
    is_latest: bool = True
    base_url: str | None = None  # None: the API's own
    changelog: str = ""
    operations: int = 0
    deprecated_at: datetime | None = None
    sunset_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation of a version. A call to it counts as `weight` units.

    A key that is restricted to scopes passes only with all of `scopes`; where they are None the document does not say
    which those are, and no restricted key passes.
    """

    id: UUID
    version_id: UUID
    method: str
    path: str
    operation_id: str | None = None
    summary: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    deprecated: bool = False
    parameters: tuple[dict[str, object], ...] = ()
    request_types: tuple[str, ...] = ()
    responses: tuple[str, ...] = ()
    scopes: tuple[str, ...] | None = None
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """One plan of an API with the terms it is sold by now; `plan_version_id` names exactly these terms."""

    id: UUID
    version: int
    api_id: UUID
    provider_organisation_id: UUID
    plan_version_id: UUID
    number: int  # of the plan version, from 1
    terms: Terms
    created_at: datetime
    status: PlanStatus = PlanStatus.ACTIVE
    requires_approval: bool = False


@dataclass(frozen=True, slots=True)
class Category:
    """A shelf of the catalogue."""

    slug: str
    name: str
