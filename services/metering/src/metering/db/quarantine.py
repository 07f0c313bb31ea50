"""Entries outside the window of time in which calls count: kept, stripped as they are, and never counted."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from metering.domain.batch import Late
from metering.domain.entry import StoredEntry

_INSERT = text("""
    INSERT INTO quarantined_request (started_at_ms, request_id, received_at, reason, entry)
    SELECT started_at_ms, request_id, received_at, reason, CAST(entry AS jsonb)
    FROM unnest(CAST(:starts AS bigint[]), CAST(:ids AS text[]), CAST(:received AS timestamptz[]),
                CAST(:reasons AS text[]), CAST(:entries AS text[]))
        AS q (started_at_ms, request_id, received_at, reason, entry)
    ON CONFLICT DO NOTHING""")


async def keep(session: AsyncSession, items: Sequence[Late]) -> None:
    """The entries are in the quarantine, each once."""
    if not items:
        return
    await session.execute(
        _INSERT,
        {
            "starts": [int(i.entry.started_at) for i in items], "ids": [i.entry.request.id for i in items],
            "received": [i.received_at for i in items], "reasons": [str(i.reason) for i in items],
            "entries": [_kept(i.entry) for i in items],
        },
    )  # fmt: skip


def _kept(entry: StoredEntry) -> str:
    # Nothing takes a client's network out of here in time, so it never comes in.
    return msgspec.json.encode(msgspec.structs.replace(entry, client_net=None)).decode()
