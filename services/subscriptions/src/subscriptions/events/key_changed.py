"""A key as others see it: its hash, never the key."""

from datetime import UTC, datetime
from typing import Self
from uuid import UUID

from pydantic import AwareDatetime

from common.events import Event
from subscriptions.domain.api_key import ApiKey, KeyStatus, Mode

_COPIED = (
    "version", "subscription_id", "organisation_id", "api_id", "name", "prefix", "sha256", "mode", "status",
    "expires_at", "rate_limits", "share_id",
)  # fmt: skip


class KeyChanged(Event, topic="subscriptions.key.v1", type="key.changed", key="key_id"):
    """The key as it now stands; `sha256` is what the gateway looks it up by."""

    key_id: UUID
    subscription_id: UUID
    organisation_id: UUID
    api_id: UUID
    name: str
    prefix: str
    sha256: str
    mode: Mode
    status: KeyStatus
    expires_at: AwareDatetime | None
    scopes: list[str]
    rate_limits: dict[str, int | None] | None
    share_id: UUID | None

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        """The event that tells of `key` as it is."""
        copied = {name: getattr(key, name) for name in _COPIED}
        return cls(key_id=key.id, scopes=list(key.scopes), **copied)

    @classmethod
    def example(cls) -> Self:
        """A valid event with every field set."""
        return cls(
            key_id=UUID("01900000-0000-7000-8000-000000000071"),
            version=2,
            subscription_id=UUID("01900000-0000-7000-8000-000000000061"),
            organisation_id=UUID("01900000-0000-7000-8000-000000000002"),
            api_id=UUID("01900000-0000-7000-8000-000000000011"),
            name="default",
            prefix="mk_live_0aB1",
            sha256="9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            mode=Mode.LIVE,
            status=KeyStatus.EXPIRING,
            expires_at=datetime(2026, 12, 1, tzinfo=UTC),
            scopes=["rates:read"],
            rate_limits={"second": None, "minute": 10, "hour": None, "day": None},
            share_id=UUID("01900000-0000-7000-8000-000000000071"),
        )
