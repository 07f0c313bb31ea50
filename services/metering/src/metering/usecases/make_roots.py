"""Seal hours: one hash for all calls of a subscription in an hour that is over."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from metering.db import positions, roots
from metering.domain.windows import floor_hour

_AT_ONCE = 200


async def make_roots(
    session: AsyncSession, *, topic: str, grace: timedelta, back: timedelta, now: datetime
) -> int:
    """Hours that ended at most `back` ago, and of which everything should have arrived, have a root of all their calls;
    how many were made, at most some hundred. Calls that come later get their hour a further root.
    """
    read_to = await positions.as_of(session, topic)
    if read_to is None:
        return 0
    end = floor_hour(read_to - grace)
    hours = await roots.due(session, start=end - back, end=end, limit=_AT_ONCE)
    for hour in hours:
        await roots.seal(session, hour, now=now)
    return len(hours)
