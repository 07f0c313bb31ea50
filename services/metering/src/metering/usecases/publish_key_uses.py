"""Publish when keys were last used."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from common import outbox
from metering.db import key_uses
from metering.events.key_used import KeyUsed

_MOST = 500


async def publish_key_uses(session: AsyncSession, *, now: datetime) -> int:
    """Keys whose last use is in another minute than was published are in the outbox; how many (0: none is due)."""
    due = await key_uses.claim_due(session, limit=_MOST)
    events = [
        KeyUsed(
            version=key.version, key_id=key.key_id, subscription_id=key.subscription_id,
            organisation_id=key.consumer_org, last_used_at=key.last_used_at,
        )
        for key in due
    ]  # fmt: skip
    await outbox.publish(session, *events, now=now)
    return len(due)
