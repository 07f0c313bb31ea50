"""Reconcile once a night, on whichever replica comes first."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from common.clock import Clock
from common.db import Database
from common.log import get_logger
from metering.db import reconciliation
from metering.db.reconciliation import Night
from metering.domain.lateness import LATEST_ARRIVAL, month_of
from metering.metrics import RECONCILED_AT_SECONDS, RECONCILIATION_DIFFERENCES
from metering.usecases.reconcile import reconcile

log = get_logger()


async def reconcile_nightly(db: Database, clock: Clock, *, hour: int) -> Night | None:
    """Tonight's reconciliation is made if it is past `hour` (UTC) and nobody made or makes it; None when not by us.

    It covers every month from which a call may still arrive. Whoever makes it holds a lock as long as its
    transaction lives, so a replica that dies leaves the night to the next. Every replica's metrics show the last one.
    """
    now = clock.now()
    async with db.begin() as session:
        last = await reconciliation.nights(session)
        _show(last)
        if now.hour < hour or (last and last[0].day >= now.date()):
            return None
        if not await reconciliation.claim_night(session) or await _is_made(session, now):
            return None
        night = await _run(db, clock, now)
        await reconciliation.keep_night(session, night)
    _show([night])
    return night


async def _is_made(session: AsyncSession, now: datetime) -> bool:
    return any(night.day >= now.date() for night in await reconciliation.nights(session))


async def _run(db: Database, clock: Clock, now: datetime) -> Night:
    async with db.begin() as session:
        bounds = await reconciliation.bounds(session)
    first = month_of(now - LATEST_ARRIVAL)
    last = bounds[1] if bounds else first
    first = min(max(first, bounds[0] if bounds else first), last)
    comparisons = await reconcile(db, first=first, last=last)
    found = [difference for c in comparisons for difference in c.differences]
    if found:
        log.error("reconciliation.differs", differing=len(found), first_of_them=str(found[0]))
    return Night(
        day=now.date(), first=first, last=last, started_at=now, finished_at=clock.now(),
        compared={c.table: c.compared for c in comparisons}, differing=len(found), found=found,
    )  # fmt: skip


def _show(nights: list[Night]) -> None:
    for night in nights:
        RECONCILIATION_DIFFERENCES.set(night.differing)
        RECONCILED_AT_SECONDS.set(night.finished_at.timestamp())
