"""Rows of `key_use`: the minute in which each key was last used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from metering.db.arrays import cast, literal
from metering.domain.key_use import KeyUse

# A key that was noted in its minute costs a look into the index, and no lock: that is nearly every key of a batch.
_NOTE = text(
    "INSERT INTO key_use AS k (key_id, subscription_id, consumer_org, last_used_at, version)"
    f" SELECT u.*, 1 FROM unnest({cast('key_id', 'uuid')}, {cast('subscription_id', 'uuid')},"
    f" {cast('consumer_org', 'uuid')}, {cast('minute', 'timestamptz')})"
    " AS u (key_id, subscription_id, consumer_org, minute)"
    " WHERE NOT EXISTS (SELECT FROM key_use o WHERE o.key_id = u.key_id AND o.last_used_at >= u.minute)"
    " ON CONFLICT (key_id) DO UPDATE SET last_used_at = excluded.last_used_at, version = k.version + 1"
    " WHERE k.last_used_at < excluded.last_used_at"
)
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


async def note(session: AsyncSession, uses: Sequence[KeyUse]) -> None:
    """The keys were last used then, unless a later minute is known; `uses` are sorted by key, the order of locks."""
    if uses:
        columns = zip(KeyUse._fields, zip(*uses, strict=True), strict=True)
        await session.execute(_NOTE, {name: literal(column) for name, column in columns})


async def claim_due(session: AsyncSession, *, limit: int) -> list[DueKey]:
    """At most `limit` keys that are due, locked, and marked as published if this transaction commits."""
    return [DueKey(*row) for row in await session.execute(_CLAIM, {"limit": limit})]


async def make_all_due(session: AsyncSession) -> int:
    """Every key is due for publication, at the version that it has; how many there are."""
    return int((await session.execute(_UNPUBLISH)).rowcount)  # type: ignore[attr-defined]
