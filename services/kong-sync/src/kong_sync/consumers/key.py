"""`subscriptions.key.v1`: the keys of a subscription, by their digest."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, StringConstraints
from sqlalchemy.ext.asyncio import AsyncSession

from common.events import Incoming
from kong_sync.consumers.subscription import RateLimits
from kong_sync.db import copies
from kong_sync.domain.records import Key


class KeyEvent(Incoming, topic="subscriptions.key.v1"):
    """What we read of a key; the key itself is in no event."""

    key_id: UUID
    subscription_id: UUID
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
    mode: str = "live"
    status: str
    expires_at: AwareDatetime | None = None
    rate_limits: RateLimits | None = None
    share_id: UUID | None = None
    scopes: tuple[str, ...] = ()


async def on_key(session: AsyncSession, event: KeyEvent, *, now: datetime) -> None:
    """Our copy of the key is at least this new."""
    limits = event.rate_limits.limits if event.rate_limits else None
    await copies.put_key(
        session,
        Key(
            id=str(event.key_id), version=event.version, subscription_id=str(event.subscription_id),
            sha256=event.sha256, mode=event.mode, status=event.status, expires_at=event.expires_at, changed_at=now,
            limits=limits, share_id=str(event.share_id) if event.share_id else None,
            scopes=event.scopes,
        ),
    )  # fmt: skip
