"""Revoking a key."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from common import outbox
from subscriptions.db import keys
from subscriptions.domain.api_key import ApiKey
from subscriptions.domain.rotation import revoked
from subscriptions.events.key_changed import KeyChanged
from subscriptions.metrics import KEYS_ENDED


async def revoke_key(session: AsyncSession, key: ApiKey, *, now: datetime) -> None:
    """The key, which the caller has locked, is of no use any more; nothing changes when it was not before."""
    changed = revoked(key, now=now)
    if changed is key:
        return
    await keys.update_key(session, changed)
    await outbox.publish(session, KeyChanged.of(changed), now=now)
    KEYS_ENDED.labels("revoked").inc()
