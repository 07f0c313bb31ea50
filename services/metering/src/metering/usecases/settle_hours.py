"""Settle the hours that are over."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from common.steps import Passed, unwatched
from metering.db import deltas, open_hours

MOST_ROWS = 50_000
"""Rows that are settled in one transaction: a second or two of work."""


async def settle_hours(
    session: AsyncSession, *, before: datetime, limit: int = MOST_ROWS, passed: Passed = unwatched
) -> int:
    """At most `limit` rows of hours begun before `before` are settled; how many (0: none is left, or others fold).

    Safe to end anywhere and to run twice: nothing that is read through the views changes by it. What still comes for
    such an hour opens it again.
    """
    if not await deltas.claim(session):
        return 0
    settled = await open_hours.settle(session, before=before, limit=limit)
    if settled:
        passed("settled")
    return settled
