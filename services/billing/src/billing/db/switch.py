"""Whether billing is on, and since when."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_SET = text("""
    INSERT INTO billing_switch AS t (id, enabled, since) VALUES (1, :enabled, NULL)
    ON CONFLICT (id) DO UPDATE SET enabled = excluded.enabled,
        since = CASE WHEN excluded.enabled AND NOT t.enabled THEN :now ELSE t.since END""")
_SINCE = text("SELECT since FROM billing_switch")


async def record(session: AsyncSession, *, enabled: bool, now: datetime) -> None:
    """Billing is on or off; switched on again, `since` is that moment."""
    await session.execute(_SET, {"enabled": enabled, "now": now})


async def since(session: AsyncSession) -> datetime | None:
    """Nothing before is ever billed; None: there is no such bound."""
    moment: datetime | None = await session.scalar(_SINCE)
    return moment
