"""Replay the request log into scratch tables by the code that wrote the real ones, and compare."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from common.db import Database
from metering.db import quotas, rollups, scratch
from metering.db.reconciliation import bounds
from metering.db.scratch import TableProof
from metering.domain.rollup import (
    by_counter,
    by_country,
    by_day,
    by_error,
    by_hour,
    by_subscription_day,
    by_subscription_hour,
)


async def rebuild_scratch(
    db: Database,
    *,
    begun: Callable[[int], None] = lambda _: None,
    done: Callable[[int], None] = lambda _: None,
) -> list[TableProof]:
    """Every table that is summed from raw rows, replayed from all months of them, against what is stored.

    One snapshot, so that it is exact while calls are being recorded; it holds back vacuum as long as it takes.
    Nothing is left behind, however it ends. `begun` is told how many calls there are, `done` how
    many more are replayed.
    """
    async with db.snapshot() as session:
        found = await bounds(session)
        # A quota counter is a whole month's.
        first = found[0].replace(day=1) if found else date(2020, 1, 1)
        last = found[1] if found else first
        begun(await scratch.count_calls(session, first=first, last=last))
        await scratch.begin(session)
        async for calls in scratch.read_calls(session, first=first, last=last):
            hours = by_hour(calls)
            days = by_day(hours)
            subscription_days = by_subscription_day(days)
            await rollups.add_hours(session, hours)
            await rollups.add_days(session, days)
            await rollups.add_subscription_days(session, subscription_days)
            await rollups.add_subscription_hours(session, by_subscription_hour(hours))
            await rollups.add_countries(session, by_country(calls))
            await rollups.add_errors(session, by_error(calls))
            await quotas.add(session, by_counter(subscription_days))
            done(len(calls))
        return await scratch.prove(session, first=first, last=last)
