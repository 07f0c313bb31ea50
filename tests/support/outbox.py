"""What a service has put into its outbox."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import text

from common.db import Database


async def outbox_events(worker_db: Database, topic: str | None = None) -> list[dict[str, Any]]:
    """`{topic, key, type, payload}` of each event, oldest first."""
    query = text(
        "SELECT topic, key, headers, payload FROM outbox WHERE :topic = '' OR topic = :topic ORDER BY id"
    )
    async with worker_db.begin() as session:
        rows = (await session.execute(query, {"topic": topic or ""})).all()
    return [
        {
            "topic": r.topic,
            "key": r.key,
            "type": r.headers["ce_type"],
            "payload": json.loads(bytes(r.payload)),
        }
        for r in rows
    ]
