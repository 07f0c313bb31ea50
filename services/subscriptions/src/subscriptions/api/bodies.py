"""What the endpoints of subscriptions take and give."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from subscriptions.domain.api_key import ApiKey, KeyStatus, Mode, Secret
from subscriptions.domain.subscription import Gateway, Quota, Status, Subscription


def _storable(text: str) -> str:
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("holds a character that cannot be stored")
    return text


def _line(shortest: int, longest: int) -> Any:
    return StringConstraints(strip_whitespace=True, min_length=shortest, max_length=longest)


KeyName = Annotated[str, _line(1, 100), AfterValidator(_storable)]
Reason = Annotated[str, _line(1, 500), AfterValidator(_storable)]


class Body(BaseModel):
    """Unknown fields are refused: a misspelt one would otherwise be lost in silence."""

    model_config = ConfigDict(extra="forbid")


class SubscriptionCreate(Body):
    """Which plan to subscribe to, and what to call the first key."""

    plan_id: UUID
    key_name: KeyName = "default"
    key_mode: Mode = Mode.LIVE


class StatusChange(Body):
    """Why; shown to the other side."""

    reason: Reason | None = None


Calls = Annotated[int, Field(ge=1, le=1_000_000_000)]


class RateLimits(Body):
    """A key's share of the subscription's calls in each window; null where the subscription has no limit."""

    second: Calls | None = None
    minute: Calls | None = None
    hour: Calls | None = None
    day: Calls | None = None


Scope = Annotated[str, StringConstraints(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]{1,128}$")]


class KeyCreate(Body):
    """A further key. With `rate_limits` it has that share of the subscription's calls; the other keys have the rest.

    With `scopes` it passes only at endpoints all of whose scopes it holds; without limits of its own, its share is as
    large as that of all unrestricted keys together.
    """

    name: KeyName
    mode: Mode = Mode.LIVE
    expires_at: AwareDatetime | None = None
    scopes: Annotated[list[Scope], Field(max_length=50)] = []
    rate_limits: RateLimits | None = None

    @property
    def restriction(self) -> dict[str, int | None] | None:
        """The limits by window; None when none was named."""
        named = self.rate_limits.model_dump() if self.rate_limits else {}
        return named if any(named.values()) else None


class KeyRotate(Body):
    """How long the old key goes on working beside the new one, in seconds."""

    grace_seconds: Annotated[int, Field(ge=0, le=30 * 86_400)] = 86_400


class GatewayOut(BaseModel):
    """Whether calls pass the gateway: they do once the state is live."""

    state: str
    reason: str | None


class QuotaOut(BaseModel):
    """How much of a month's quota is used."""

    model_config = ConfigDict(from_attributes=True)
    period: str
    limit: int | None
    used: int
    state: str
    until: datetime | None


class PhaseOut(BaseModel):
    """The time in which one plan version was in force; `until` null: it goes on."""

    model_config = ConfigDict(populate_by_name=True)
    plan_version_id: UUID
    since: datetime = Field(alias="from")
    until: datetime | None


class SubscriptionOut(BaseModel):
    """A subscription, with the terms that it was sold by."""

    id: UUID
    version: int
    organisation_id: UUID
    provider_organisation_id: UUID
    provider_slug: str
    api_id: UUID
    api_slug: str
    plan_id: UUID
    plan_version_id: UUID
    status: Status
    reason: str | None
    terms: dict[str, Any]
    limits_override: dict[str, int | None] | None
    created_at: datetime
    started_at: datetime | None
    canceled_at: datetime | None
    phases: list[PhaseOut]
    gateway: GatewayOut
    quota: QuotaOut | None = None

    @classmethod
    def of(
        cls, subscription: Subscription, gateway: Gateway | None = None, quota: Quota | None = None
    ) -> Self:
        """The subscription as it is; before kong-sync said anything, it is on its way."""
        shown = gateway or Gateway()
        own = {name: getattr(subscription, name) for name in cls.model_fields if hasattr(subscription, name)}
        phases = [
            PhaseOut(plan_version_id=phase.plan_version_id, since=phase.since, until=phase.until)
            for phase in subscription.phases
        ]
        return cls(
            **own
            | {
                "phases": phases,
                "gateway": GatewayOut(state=shown.state, reason=shown.reason),
                "quota": QuotaOut.model_validate(quota) if quota else None,
            }
        )


class SubscriptionPage(BaseModel):
    """Some subscriptions, the newest first."""

    items: list[SubscriptionOut]
    next_cursor: str | None


class KeyOut(BaseModel):
    """A key without the key. `last_used_at` is the minute of its last use, null while there was none."""

    model_config = ConfigDict(from_attributes=True)
    id: UUID
    subscription_id: UUID
    api_id: UUID
    name: str
    prefix: str
    mode: Mode
    status: KeyStatus
    scopes: list[str]
    rate_limits: dict[str, int | None] | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    replaced_by: UUID | None
    last_used_at: datetime | None = None

    @classmethod
    def of_used(cls, key: ApiKey, last_used_at: datetime | None) -> Self:
        """The key, and when it was last used."""
        return cls.model_validate(key).model_copy(update={"last_used_at": last_used_at})


class KeyPage(BaseModel):
    """Some keys, the newest first."""

    items: list[KeyOut]
    next_cursor: str | None


class NewKeyOut(KeyOut):
    """A key with the key: shown this once. A replay of the same request carries `key: null`."""

    key: str | None

    @classmethod
    def of(cls, key: ApiKey, secret: Secret | None) -> Self:
        """The key, in the clear when `secret` is given."""
        return cls(**KeyOut.model_validate(key).model_dump(), key=secret.text if secret else None)


class RotatedKeyOut(NewKeyOut):
    """The new key, and the one that it replaces."""

    replaces: KeyOut


class SubscriptionCreated(BaseModel):
    """The subscription, and its first key; no key while approval is pending."""

    subscription: SubscriptionOut
    key: NewKeyOut | None
