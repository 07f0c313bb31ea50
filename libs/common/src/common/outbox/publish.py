"""Put events into the outbox."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from common.errors import TooLarge
from common.events import Event, headers
from common.kafka.cluster import MESSAGE_BYTES

# Room for the headers and Kafka's own framing.
_MOST_BYTES = MESSAGE_BYTES - 64 * 1024

# The notification is delivered when, and only when, the transaction commits.
_INSERT = text("""
    INSERT INTO outbox (event_id, topic, key, headers, payload, created_at)
    VALUES (:event_id, :topic, :key, CAST(:headers AS jsonb), :payload, :now)""")
_NOTIFY = text("SELECT pg_notify('outbox', '')")


class EventTooLarge(TooLarge):
    """What changed does not fit into one message."""

    code = "EVENT_TOO_LARGE"


async def publish(session: AsyncSession, *events: Event, now: datetime) -> None:
    """Each of `events` is sent if and only if this transaction commits; perhaps twice, then with the same id.

    Raises EventTooLarge for what Kafka would refuse: such a row would hold up all those behind it.
    """
    if events:
        await session.execute(_INSERT, [_row(event, now) for event in events])
        await session.execute(_NOTIFY)


def _row(event: Event, now: datetime) -> dict[str, Any]:
    payload = event.model_dump_json(by_alias=True).encode()
    if len(payload) > _MOST_BYTES:
        raise EventTooLarge(
            f"This would be a message of {len(payload)} bytes, of at most {_MOST_BYTES}: make it smaller or split it."
        )
    source = event.topic.split(".", 1)[0]
    return {
        "event_id": event.event_id,
        "topic": event.topic,
        "key": event.key,
        "headers": json.dumps(headers(event, source=source, now=now)),
        "payload": payload,
        "now": now,
    }
