"""The inbox: an event that was handled is known by its id, and a second delivery does nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

# Longer than any re-send; after it the aggregate's version still keeps an old event out.
KEEP = timedelta(days=14)
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
