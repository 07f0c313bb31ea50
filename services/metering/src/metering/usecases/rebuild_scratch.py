"""Replay the request log into scratch tables by the code that wrote the real ones, and compare."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from common.db import Database
from metering.db import deltas, quotas, scratch
from metering.db.reconciliation import bounds
from metering.db.scratch import TableProof
from metering.domain.delta import by_subscription_day, fold
from metering.domain.pack import pack_deltas
from metering.domain.rollup import by_counter


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
            added = fold(calls)
            await deltas.append(session, pack_deltas(added))
            await deltas.fold(session, limit=len(added))
            await quotas.add(session, by_counter(by_subscription_day(added)))
            done(len(calls))
        await scratch.settle(session)
        return await scratch.prove(session, first=first, last=last)
