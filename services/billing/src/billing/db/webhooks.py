"""Stripe's events: stored first, processed afterwards. Only what names the object is kept, never its content."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """Something happened to an object at Stripe; its state is fetched from there."""

    id: str
    type: str
    object_id: str | None
    account: str | None
    created_at: datetime
    failures: int = 0


_INSERT = text("""
    INSERT INTO webhook_event (id, type, object_id, account, created_at, received_at, status, work_after)
    VALUES (:id, :type, :object_id, :account, :created_at, :now, 'waiting', :now)
    ON CONFLICT DO NOTHING RETURNING id""")
_CLAIM = text("""
    UPDATE webhook_event SET work_after = :lease_until WHERE id = (
        SELECT id FROM webhook_event WHERE status = 'waiting' AND work_after <= :now
        ORDER BY work_after, id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING *""")
_DONE = text("UPDATE webhook_event SET status = 'done', last_error = NULL WHERE id = :id")
_FAILED = text("""
    UPDATE webhook_event SET failures = failures + 1, last_error = :error, work_after = :again_at WHERE id = :id""")


async def insert_if_absent(session: AsyncSession, event: WebhookEvent, *, now: datetime) -> bool:
    """The event is stored; False when it was there."""
    values = {
        "id": event.id, "type": event.type, "object_id": event.object_id, "account": event.account,
        "created_at": event.created_at, "now": now,
    }  # fmt: skip
    return await session.scalar(_INSERT, values) is not None


async def claim(session: AsyncSession, *, now: datetime, lease_until: datetime) -> WebhookEvent | None:
    """An event to be processed, leased."""
    row = (await session.execute(_CLAIM, {"now": now, "lease_until": lease_until})).first()
    if row is None:
        return None
    return WebhookEvent(row.id, row.type, row.object_id, row.account, row.created_at, row.failures)


async def record_done(session: AsyncSession, event_id: str) -> None:
    """The event was processed."""
    await session.execute(_DONE, {"id": event_id})


async def record_failure(session: AsyncSession, event_id: str, *, error: str, again_at: datetime) -> None:
    """It is tried again from `again_at` on."""
    await session.execute(_FAILED, {"id": event_id, "error": error[:500], "again_at": again_at})
