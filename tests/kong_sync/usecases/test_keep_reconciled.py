"""An event is in force at the gateway at once, not at the next interval."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from kong_sync.usecases.keep_reconciled import keep_reconciled
from kong_sync.usecases.serve_due import DueServer
from tests.kong_sync.factories import only
from tests.kong_sync.market import tell
from tests.kong_sync.stage import Stage


async def test_a_wake_brings_the_wish_to_the_gateway_long_before_the_interval(stage: Stage) -> None:
    wake, stop = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(
        keep_reconciled(
            stage.db, stage.gateway, clock=stage.clock, wake=wake, stop=stop, interval_seconds=3600
        )
    )
    await asyncio.sleep(0.3)  # its first pass found nothing to do
    await tell(stage.db, stage.tables)
    wake.set()
    async with asyncio.timeout(60):
        while (await stage.call()).status_code != 200:
            await asyncio.sleep(0.05)
    stopped = replace(stage.subscription, version=2, status="paused")
    await tell(stage.db, only(subscriptions=[stopped]))
    wake.set()
    async with asyncio.timeout(60):
        while (await stage.call()).status_code != 403:
            await asyncio.sleep(0.05)
    stop.set()
    await asyncio.wait_for(running, 5)


async def test_a_wake_in_the_middle_of_a_pass_is_heard_after_it_too(stage: Stage) -> None:
    wake = asyncio.Event()
    server = DueServer(stage.db, stage.gateway, stage.clock, lambda: None, wake)
    async with asyncio.timeout(10), server.stopping():
        wake.set()
        while wake.is_set():  # until the lane of stops has looked
            await asyncio.sleep(0.01)
    assert wake.is_set()


async def test_a_pass_ends_however_many_wakes_come(stage: Stage) -> None:
    wake = asyncio.Event()
    server = DueServer(stage.db, stage.gateway, stage.clock, lambda: None, wake)

    async def nag() -> None:
        while True:
            wake.set()
            await asyncio.sleep(0)

    nagging = asyncio.create_task(nag())
    async with asyncio.timeout(10):
        for _ in range(20):
            async with server.stopping():
                await asyncio.sleep(0)
    nagging.cancel()
