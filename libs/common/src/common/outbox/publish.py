"""Put an event into the outbox."""

from __future__ import annotations

import json
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from common.events import Event, headers

# The notification is delivered when, and only when, the transaction commits.
_INSERT = text("""
    INSERT INTO outbox (event_id, topic, key, headers, payload, created_at)
    VALUES (:event_id, :topic, :key, CAST(:headers AS jsonb), :payload, :now)""")
_NOTIFY = text("SELECT pg_notify('outbox', '')")


async def publish(session: AsyncSession, event: Event, *, now: datetime) -> None:
    """`event` is sent if and only if this transaction commits; perhaps twice, then with the same id."""
    source = event.topic.split(".", 1)[0]
    await session.execute(
        _INSERT,
        {
            "event_id": event.event_id,
            "topic": event.topic,
            "key": event.key,
            "headers": json.dumps(headers(event, source=source, now=now)),
            "payload": event.model_dump_json(by_alias=True).encode(),
            "now": now,
        },
    )
    await session.execute(_NOTIFY)
