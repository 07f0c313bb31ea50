"""What the catalogue's endpoints take and give."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from catalog.api.statistics_body import StatisticsOut
from catalog.domain.api import Api, ApiVersion, Endpoint, Plan, Visibility
from catalog.domain.publishing import FROZEN, ApiStatus, allowed_actions
from catalog.domain.versioning import state_at
from common.http.auth import Caller


def _storable(text: str) -> str:
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("holds a character that cannot be stored")
    return text


def _web_address(text: str) -> str:
    if not text.startswith(("https://", "http://")):
        raise ValueError("begins with https:// or http://")
    return text


def _origin(text: str) -> str:
    scheme, _, host = text.partition("://")
    if text != "*" and (scheme not in {"https", "http"} or not host or any(c in host for c in "/?#@ ")):
        raise ValueError("is an origin such as https://app.example.com, or *")
    return text


def _text(shortest: int, longest: int) -> Any:
    return StringConstraints(strip_whitespace=True, min_length=shortest, max_length=longest)


Text = AfterValidator(_storable)
Name = Annotated[str, _text(2, 100), Text]
Description = Annotated[str, _text(10, 500), Text]
LongDescription = Annotated[str, _text(0, 50_000), Text]
Address = Annotated[str, _text(8, 500), Text, AfterValidator(_web_address)]
Tag = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,29}$")]
Tags = Annotated[list[Tag], Field(max_length=10)]
Origins = Annotated[list[Annotated[str, _text(1, 200), AfterValidator(_origin)]], Field(max_length=50)]


class Body(BaseModel):
    """Unknown fields are refused: a misspelt one would otherwise be lost in silence."""

    model_config = ConfigDict(extra="forbid")


class ApiCreate(Body):
    """A new API."""

    slug: Annotated[str, _text(2, 50)]
    name: Name
    description: Description
    category: str
    base_url: Annotated[str, _text(8, 500)]
    long_description: LongDescription = ""
    website: Address | None = None
    logo_url: Address | None = None
    tags: Tags = []
    visibility: Visibility = Visibility.PUBLIC
    cors_origins: Origins = []


Milliseconds = Annotated[int, Field(strict=True, ge=100, le=300_000)]
HeaderName = Annotated[str, _text(1, 64)]


class TimeoutsIn(Body):
    """How long the gateway waits for your server, in milliseconds."""

    connect_ms: Milliseconds = 5_000
    read_ms: Milliseconds = 60_000
    write_ms: Milliseconds = 60_000


class RequestHeadersIn(Body):
    """Headers that your server gets in place of the caller's, and that it does not get. No place for secrets."""

    add: Annotated[dict[HeaderName, str], Field(max_length=20)] = {}
    remove: Annotated[list[HeaderName], Field(max_length=20)] = []


class MaintenanceIn(Body):
    """Callers are told to come back then; without a date, in some minutes."""

    until: AwareDatetime | None = None


class SettingsIn(Body):
    """How the gateway treats calls: what is left out stays, what is sent replaces that part."""

    timeouts: TimeoutsIn = TimeoutsIn()
    retries: Annotated[int, Field(strict=True, ge=0, le=5)] = 2
    tls_verify: bool | None = None
    max_body_mb: Annotated[int, Field(strict=True, ge=1, le=1024)] | None = None
    blocked_ips: Annotated[list[Annotated[str, _text(2, 50)]], Field(max_length=200)] = []
    request_headers: RequestHeadersIn = RequestHeadersIn()
    maintenance: MaintenanceIn | None = None


class ApiUpdate(Body):
    """What is to change; what is left out stays."""

    name: Name = ""
    description: Description = ""
    category: str = ""
    base_url: Annotated[str, _text(8, 500)] = ""
    long_description: LongDescription = ""
    website: Address | None = None
    logo_url: Address | None = None
    tags: Tags = []
    visibility: Visibility = Visibility.PUBLIC
    cors_origins: Origins = []
    settings: SettingsIn = SettingsIn()

    def changes(self) -> dict[str, Any]:
        """The fields that were sent."""
        sent = self.model_dump(include=self.model_fields_set)
        if "settings" in sent:
            sent["settings"] = self.settings.model_dump(include=self.settings.model_fields_set)
        return {name: tuple(value) if isinstance(value, list) else value for name, value in sent.items()}


class GatewayOut(BaseModel):
    """Whether it can be called, and where. `reason` is for its provider."""

    state: str
    reason: str | None
    proxy_url: str | None


class ProviderOut(BaseModel):
    """Who provides it."""

    organisation_id: UUID
    slug: str


class ApiOut(BaseModel):
    """An API. `base_url`, `review_note`, `settings` and `actions` are for its provider only."""

    id: UUID
    version: int
    slug: str
    name: str
    description: str
    long_description: str
    website: str | None
    logo_url: str | None
    category: str
    tags: list[str]
    status: ApiStatus
    visibility: Visibility
    provider: ProviderOut
    latest_version: str | None
    cors_origins: list[str]
    featured: bool
    lowest_fee: int | None
    gateway: GatewayOut
    statistics: StatisticsOut | None
    created_at: datetime
    updated_at: datetime
    published_at: datetime | None
    base_url: str | None = None
    review_note: str | None = None
    settings: dict[str, Any] | None = None
    actions: list[str] = []

    @classmethod
    def of(cls, api: Api, caller: Caller | None) -> Self:
        """The API as `caller` may see it."""
        owns = is_own(api, caller)
        copied = {name: getattr(api, name) for name in cls.model_fields if hasattr(api, name)}
        gateway = api.shown_gateway
        reason = gateway.reason if owns else None
        return cls(
            **copied
            | {
                "tags": list(api.tags),
                "cors_origins": list(api.cors_origins),
                "provider": ProviderOut(organisation_id=api.provider_organisation_id, slug=api.provider_slug),
                "gateway": GatewayOut(state=gateway.state, reason=reason, proxy_url=gateway.proxy_url),
                "statistics": StatisticsOut.model_validate(api.statistics) if api.statistics else None,
                "base_url": api.base_url if owns else None,
                "review_note": api.review_note if owns else None,
                "settings": api.settings.to_wire() if owns else None,
                "actions": allowed_actions(api.status) if owns and api.status not in FROZEN else [],
            }
        )


def is_own(api: Api, caller: Caller | None) -> bool:
    """The caller acts for the API's provider, or for the marketplace itself."""
    if caller is None:
        return False
    return caller.platform_admin or caller.organisation_id == api.provider_organisation_id


class ApiPage(BaseModel):
    """Some APIs, and the cursor of those that follow."""

    items: list[ApiOut]
    next_cursor: str | None


class FacetOut(BaseModel):
    """One value to filter by, and how many APIs it would leave."""

    value: str
    name: str
    count: int


class FacetsOut(BaseModel):
    """The values to filter by."""

    category: list[FacetOut]


class ApiSearchPage(ApiPage):
    """A page of the public list."""

    total: int
    pages: int
    facets: FacetsOut


class CategoryOut(BaseModel):
    """A shelf of the catalogue."""

    model_config = ConfigDict(from_attributes=True)
    slug: str
    name: str


class CategoriesOut(BaseModel):
    """All categories, in the order in which they are shown."""

    items: list[CategoryOut]


class ProviderPageOut(BaseModel):
    """A provider as everybody sees it."""

    organisation_id: UUID
    slug: str
    name: str | None
    apis: int


class VersionCreate(Body):
    """A new version. Its document can follow."""

    name: Annotated[str, _text(2, 50)]
    base_url: Annotated[str, _text(8, 500)] | None = None
    changelog: Annotated[str, _text(0, 10_000), Text] = ""


class VersionUpdate(Body):
    """What is to change; what is left out stays, and null takes a date back."""

    changelog: Annotated[str, _text(0, 10_000), Text] = ""
    deprecated_at: AwareDatetime | None = None
    sunset_at: AwareDatetime | None = None


class VersionOut(BaseModel):
    """A version, with the state of this moment. `base_url` is for its provider."""

    id: UUID
    api_id: UUID
    name: str
    state: str
    is_latest: bool
    changelog: str
    operations: int
    created_at: datetime
    deprecated_at: datetime | None
    sunset_at: datetime | None
    base_url: str | None = None

    @classmethod
    def of(cls, version: ApiVersion, *, own: bool, now: datetime) -> Self:
        """The version, to its provider (`own`) or to others."""
        copied = {name: getattr(version, name) for name in cls.model_fields}
        shown = {"state": state_at(version, now), "base_url": version.base_url if own else None}
        return cls(**copied | shown)


class VersionsOut(BaseModel):
    """All versions, the newest first."""

    items: list[VersionOut]


class WarningOut(BaseModel):
    """A quirk of a document that did not stop it. `at`: a JSON pointer to the first; `count`: how many."""

    model_config = ConfigDict(from_attributes=True)
    code: str
    detail: str
    at: str
    count: int


class ImportOut(BaseModel):
    """What was taken from a document."""

    version: str
    operations: int
    openapi: str
    title: str
    warnings: list[WarningOut]


class EndpointOut(BaseModel):
    """One thing that can be called.

    `scopes`: all that a restricted key needs; empty: none; null: the document does not say, so only keys without
    restriction pass.
    """

    model_config = ConfigDict(from_attributes=True)
    id: UUID
    method: str
    path: str
    operation_id: str | None
    summary: str
    description: str
    tags: list[str]
    deprecated: bool
    parameters: list[dict[str, Any]]
    request_types: list[str]
    responses: list[str]
    scopes: list[str] | None
    weight: int

    @classmethod
    def of(cls, endpoint: Endpoint) -> Self:
        """The endpoint as it is."""
        return cls.model_validate(endpoint)


class EndpointPage(BaseModel):
    """Some endpoints, in the document's order."""

    items: list[EndpointOut]
    next_cursor: str | None


class PlanOut(BaseModel):
    """A plan with the terms that it is sold by now."""

    id: UUID
    version: int
    api_id: UUID
    plan_version_id: UUID
    number: int
    status: Literal["active", "archived"]
    requires_approval: bool
    created_at: datetime
    name: str
    currency: str
    billing_period: str
    fixed_fee: int
    included_requests: int
    usage_price: dict[str, Any]
    quota: int | None
    first_period_allowance: str
    rate_limits: dict[str, int | None]
    trial_days: int
    units_header: str | None
    units_cap: int | None
    counted_statuses: list[str]

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """The plan as it is."""
        own = ("id", "version", "api_id", "plan_version_id", "number", "requires_approval", "created_at")
        return cls(
            **{name: getattr(plan, name) for name in own}, status=plan.status.value, **plan.terms.to_wire()
        )


class PlansOut(BaseModel):
    """The plans of an API, in the order in which they were made."""

    items: list[PlanOut]
