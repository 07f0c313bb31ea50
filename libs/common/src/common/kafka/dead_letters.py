"""Records that can never be handled are parked with the reason, and the partition goes on."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from common.log import redact

_PAYLOAD_CHARACTERS = 20_000
_INSERT = text("""
    INSERT INTO dead_letter (topic, partition, record_offset, reason, payload, created_at)
    VALUES (:topic, :partition, :offset, :reason, :payload, :now)""")


class PoisonMessage(Exception):
    """This record can never be handled. Any other error stops the loop and the record is tried again."""


async def park(
    session: AsyncSession,
    *,
    topic: str,
    partition: int,
    offset: int,
    payload: bytes,
    reason: str,
    now: datetime,
) -> None:
    """The record is in the dead-letter table, redacted and cut, in this transaction."""
    shown = payload[:_PAYLOAD_CHARACTERS].decode("utf-8", "backslashreplace").replace("\x00", "\\x00")
    await session.execute(
        _INSERT,
        {
            "topic": topic, "partition": partition, "offset": offset, "reason": str(redact(reason))[:2000],
            "payload": redact(shown), "now": now,
        },
    )  # fmt: skip
