"""Rows of `key_use`: the minute in which each key was last used, which `db/deltas.py` notes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_CLAIM = text("""
    WITH due AS (
        SELECT key_id FROM key_use WHERE version > published_version ORDER BY key_id LIMIT :limit
        FOR UPDATE SKIP LOCKED)
    UPDATE key_use AS k SET published_version = k.version FROM due WHERE k.key_id = due.key_id
    RETURNING k.key_id, k.subscription_id, k.consumer_org, k.last_used_at, k.version""")
_UNPUBLISH = text("UPDATE key_use SET published_version = 0")


@dataclass(frozen=True, slots=True)
class DueKey:
    """A key that was used in another minute than was published last."""

    key_id: UUID
    subscription_id: UUID
    consumer_org: UUID
    last_used_at: datetime
    version: int


async def claim_due(session: AsyncSession, *, limit: int) -> list[DueKey]:
    """At most `limit` keys that are due, locked, and marked as published if this transaction commits."""
    return [DueKey(*row) for row in await session.execute(_CLAIM, {"limit": limit})]


async def make_all_due(session: AsyncSession) -> int:
    """Every key is due for publication, at the version that it has; how many there are."""
    return int((await session.execute(_UNPUBLISH)).rowcount)  # type: ignore[attr-defined]
