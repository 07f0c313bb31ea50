"""The inbox: an event that was handled is known by its id, and a second delivery does nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from common.db import Database

# Longer than any re-send; after it the aggregate's version still keeps an old event out.
KEEP = timedelta(days=14)
_PRUNE_EVERY = timedelta(hours=1)
_INSERT = text("""
    INSERT INTO inbox (event_id, topic, received_at) VALUES (:event_id, :topic, :now)
    ON CONFLICT DO NOTHING RETURNING event_id""")
_PRUNE = text("DELETE FROM inbox WHERE received_at < :before")


async def is_new(session: AsyncSession, event_id: UUID, *, topic: str, now: datetime) -> bool:
    """True the first time; the id is remembered if this transaction commits."""
    values = {"event_id": event_id, "topic": topic, "now": now}
    return (await session.execute(_INSERT, values)).first() is not None


async def prune(session: AsyncSession, *, now: datetime) -> None:
    """Ids older than two weeks are forgotten."""
    await session.execute(_PRUNE, {"before": now - KEEP})


@dataclass(slots=True)
class Pruning:
    """Prunes the inbox when an hour has passed since it last did; the first time at once."""

    db: Database
    _pruned_at: datetime | None = None

    async def step(self, now: datetime) -> None:
        """The inbox was pruned at most an hour ago."""
        if self._pruned_at is not None and now - self._pruned_at < _PRUNE_EVERY:
            return
        async with self.db.begin() as session:
            await prune(session, now=now)
        self._pruned_at = now
