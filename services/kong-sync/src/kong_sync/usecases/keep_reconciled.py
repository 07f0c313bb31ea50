"""Serve whoever is due at once, and look at everything now and then."""

from __future__ import annotations

import asyncio
from datetime import datetime

from common.clock import Clock
from common.db import Database, Scope
from kong_sync.clients.gateway import Gateway
from kong_sync.db import due
from kong_sync.domain.report import Outcome, PassReport
from kong_sync.usecases.reconcile import reconcile

_ADMIN = Scope(platform_admin=True)
_FIRST_RETRY_SECONDS = 1.0
# How often it is looked for notes of which no event of this process tells: an operator's, another replica's.
_LOOK_SECONDS = 1.0
_SETTLED = frozenset({Outcome.EQUAL, Outcome.APPLIED, Outcome.SWITCHED_OFF})


async def keep_reconciled(
    db: Database,
    gateway: Gateway,
    *,
    clock: Clock,
    wake: asyncio.Event,
    stop: asyncio.Event,
    interval_seconds: float,
) -> None:
    """Until `stop` is set, Kong follows our tables: at once after `wake` and at every deadline.

    At the start, every `interval_seconds`, and when Kong turns out not to be what we take it for, all of it is swept.
    """
    loop = asyncio.get_running_loop()
    sweep_at = loop.time()
    retry = _FIRST_RETRY_SECONDS
    while not stop.is_set():
        wake.clear()
        sweeping = loop.time() >= sweep_at
        report = await reconcile(db, gateway, clock=clock, stop=stop, sweep=sweeping, interrupt=wake)
        settled = report.outcome in _SETTLED
        retry = _FIRST_RETRY_SECONDS if settled else min(retry * 2, interval_seconds)
        if sweeping and report.outcome is not Outcome.UNAVAILABLE:
            sweep_at = loop.time() + interval_seconds
        elif report.sweep_needed:
            sweep_at = loop.time()
        until_sweep = max(0.0, sweep_at - loop.time())
        pause = until_sweep if settled or report.sweep_needed else retry
        seconds = _until_deadline(report, now=clock.now(), at_most=pause)
        while seconds > 0 and not wake.is_set() and not stop.is_set():
            await _first_of(wake, stop, seconds=min(seconds, _LOOK_SECONDS))
            seconds -= _LOOK_SECONDS
            if settled and await _somebody_is_due(db, clock.now()):
                break


async def _somebody_is_due(db: Database, now: datetime) -> bool:
    async with db.begin(_ADMIN) as session:
        at = await due.next_at(session, now=now)
    return at is not None and at <= now


def _until_deadline(report: PassReport, *, now: datetime, at_most: float) -> float:
    if report.next_deadline is None or report.outcome is Outcome.UNAVAILABLE:
        return at_most
    return min(at_most, max(0.0, (report.next_deadline - now).total_seconds()))


async def _first_of(*events: asyncio.Event, seconds: float) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for future in waiting:
            future.cancel()
