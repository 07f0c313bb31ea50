"""Recompute the rollups from raw rows, a day at a time, so that it works on any amount of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

from common.db import Database
from metering.db.reconciliation import Comparison, compare, compare_quotas, merged

_DAY = timedelta(days=1)


async def reconcile(
    db: Database, *, first: date, last: date, done: Callable[[date], None] = lambda _: None
) -> list[Comparison]:
    """Each table of the days [first, last) against the raw rows; quota counters for the whole months in between.

    Every day is a transaction of its own: none holds a snapshot for long, and what a batch adds meanwhile is in both
    sides of a day or in neither. `done` is told each day that lies behind.
    """
    windows: list[Comparison] = []
    day = first
    while day < last:
        async with db.begin() as session:
            windows += await compare(session, first=day, last=day + _DAY)
        windows = merged(windows)
        done(day)
        day += _DAY
    async with db.begin() as session:
        windows.append(await compare_quotas(session, first=first, last=last))
    return merged(windows)
