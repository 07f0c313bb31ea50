"""Requests to Stripe that change something: noted before they are sent, so that none is ever forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_BEGIN = text("""
    INSERT INTO stripe_call AS t (key, operation, first_sent_at) VALUES (:key, :operation, :now)
    ON CONFLICT (key) DO UPDATE SET attempts = t.attempts + 1 RETURNING attempts, burned""")
_END = text("UPDATE stripe_call SET answered_at = :now, outcome = :outcome WHERE key = :key")
_BURN = text("UPDATE stripe_call SET burned = burned + 1 WHERE key = :key")


@dataclass(frozen=True, slots=True)
class Attempt:
    """The idempotency key to send, and the how-manieth time this request is made."""

    key: str
    number: int


async def begin(session: AsyncSession, *, key: str, operation: str, now: datetime) -> Attempt:
    """The request named `key` is about to be sent (again)."""
    row = (await session.execute(_BEGIN, {"key": key, "operation": operation, "now": now})).one()
    return Attempt(key if row.burned == 0 else f"{key}:{row.burned}", row.attempts)


async def end(session: AsyncSession, *, key: str, outcome: str, now: datetime) -> None:
    """Stripe answered it: with an id, or with a refusal."""
    await session.execute(_END, {"key": key, "outcome": outcome[:200], "now": now})


async def burn(session: AsyncSession, *, key: str) -> None:
    """Stripe failed inside and would repeat that failure under the same key for a day: the next one differs."""
    await session.execute(_BURN, {"key": key})
