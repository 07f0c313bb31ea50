"""Our copies of what other services decided, as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from kong_sync.domain.limits import Limits

SERVED_API_STATES = frozenset({"published", "deprecated", "suspended"})
KNOWN_VERSION_STATES = frozenset({"active", "deprecated", "sunset"})


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """How calls to an API are treated; None where the gateway's own default holds. Times in milliseconds."""

    connect_ms: int = 5_000
    read_ms: int = 60_000
    write_ms: int = 60_000
    retries: int = 2
    tls_verify: bool | None = None
    max_body_mb: int | None = None
    blocked_ips: tuple[str, ...] = ()
    set_headers: tuple[tuple[str, str], ...] = ()
    remove_headers: tuple[str, ...] = ()
    in_maintenance: bool = False
    maintenance_until: datetime | None = None

    def blocking(self, addresses: Iterable[str]) -> ApiSettings:
        """The same, with what is blocked everywhere beside what the provider blocks."""
        return replace(self, blocked_ips=tuple(sorted({*self.blocked_ips, *addresses})))


@dataclass(frozen=True, slots=True)
class Api:
    """An API as catalog last told it."""

    id: str
    version: int
    provider_id: str
    provider_slug: str
    slug: str
    base_url: str | None
    status: str
    latest_version: str | None = None
    cors_origins: tuple[str, ...] = ()
    upstream_epoch: int = 1
    settings: ApiSettings = ApiSettings()

    @property
    def served(self) -> bool:
        """Calls to it should be answered, if only by why they go no further."""
        return self.status in SERVED_API_STATES

    @property
    def suspended(self) -> bool:
        """An operator of the marketplace has stopped it."""
        return self.status == "suspended"


# All that are asked for; None where nobody knows which.
Scopes = tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What can be called, and the scopes that it asks of a restricted key."""

    method: str
    path: str
    scopes: Scopes = None


@dataclass(frozen=True, slots=True)
class ApiVersion:
    """A version of an API as catalog last told it. `endpoints` are none where none says anything of scopes."""

    id: str
    version: int
    api_id: str
    name: str
    state: str
    is_latest: bool
    base_url: str | None = None
    deprecated_at: datetime | None = None
    sunset_at: datetime | None = None
    endpoints: tuple[Endpoint, ...] = ()

    @property
    def asks_for_scopes(self) -> bool:
        """Some endpoint asks for some."""
        return any(endpoint.scopes for endpoint in self.endpoints)

    @property
    def known(self) -> bool:
        """The gateway should know it, if it serves the API: to answer calls, or to say that it is gone."""
        return self.state in KNOWN_VERSION_STATES

    def is_sunset(self, *, now: datetime) -> bool:
        """It has been switched off: calls to it are answered 410."""
        return self.state == "sunset" or (self.sunset_at is not None and self.sunset_at <= now)


@dataclass(frozen=True, slots=True)
class Phase:
    """A plan version in force over [since, until)."""

    plan_version_id: str
    since: datetime
    until: datetime | None
    limits: Limits
    units_header: str | None = None
    units_cap: int | None = None
    counted_statuses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription as subscriptions last told it; `phases` in order of time."""

    id: str
    version: int
    organisation_id: str
    provider_id: str
    api_id: str
    plan_version_id: str
    status: str
    canceled_at: datetime | None = None
    limits_override: Limits | None = None
    phases: tuple[Phase, ...] = ()


@dataclass(frozen=True, slots=True)
class Key:
    """An API key as subscriptions last told it; `changed_at` is when we heard.

    `limits` are its share of the subscription's calls, which the keys with the same `share_id` use together. With
    `scopes` it passes only where it holds all that an endpoint asks for.
    """

    id: str
    version: int
    subscription_id: str
    sha256: str
    mode: str
    status: str
    expires_at: datetime | None
    changed_at: datetime
    limits: Limits | None = None
    share_id: str | None = None
    scopes: tuple[str, ...] = ()

    @property
    def is_dead(self) -> bool:
        """It opens nothing any more."""
        return self.status in {"revoked", "expired"}

    @property
    def share(self) -> str | None:
        """The share that it uses, by its id; None when it is an ordinary key.

        A key with scopes has one too: its consumer is in other groups than the subscription's own.
        """
        if self.scopes:
            return self.share_id or self.id
        return self.share_id if self.limits and self.mode != "test" else None


@dataclass(frozen=True, slots=True)
class Quota:
    """How far a subscription is in one month, as metering last told it."""

    subscription_id: str
    period: str
    version: int
    state: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Tables:
    """Everything that the desired state is made of."""

    apis: Mapping[str, Api] = field(default_factory=dict)
    versions: Mapping[str, ApiVersion] = field(default_factory=dict)
    subscriptions: Mapping[str, Subscription] = field(default_factory=dict)
    keys: Mapping[str, Key] = field(default_factory=dict)
    quotas: Mapping[tuple[str, str], Quota] = field(default_factory=dict)
