"""Loops that are started again, one leader at a time, and a stop that is heard at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from common.db import Database
from common.leader import Leader, LeadershipLost, leadership
from common.worker import every, run_loops


def failures(loop: str) -> float:
    labels = {"service": "sample", "loop": loop}
    return REGISTRY.get_sample_value("marketplace_loop_failures_total", labels) or 0.0


async def test_a_loop_that_fails_is_started_again_later_and_later_and_the_others_go_on() -> None:
    stop, starts, beats = asyncio.Event(), [], []

    async def failing() -> None:
        starts.append("started")
        if len(starts) == 4:
            stop.set()
        raise RuntimeError("again")

    async def steady() -> None:
        beats.append("started")
        await stop.wait()

    clock = asyncio.get_running_loop().time
    began = clock()
    with capture_logs() as told:
        async with asyncio.timeout(5):
            await run_loops({"failing": failing, "steady": steady}, stop=stop, service="sample")
    assert len(starts) == 4
    waits = [line["again_in_seconds"] for line in told if line["event"] == "loop.failed"]
    assert waits == [0.1, 0.2, 0.4]
    assert clock() - began >= 0.05 + 0.1 + 0.2  # each was waited, a half more or less
    assert beats == ["started"]
    assert failures("failing") >= 3


async def test_a_stop_is_heard_at_once_even_while_a_loop_waits_to_start_again() -> None:
    stop = asyncio.Event()

    async def failing() -> None:
        raise RuntimeError

    running = asyncio.create_task(run_loops({"failing": failing}, stop=stop))
    await asyncio.sleep(0.5)  # by now the waits are longer than what is allowed below
    stop.set()
    await asyncio.wait_for(running, 0.1)


async def test_a_library_that_cancels_its_own_future_does_not_end_the_loop() -> None:
    stop, starts = asyncio.Event(), []

    async def broken_off() -> None:
        starts.append(1)
        if len(starts) == 2:
            stop.set()
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    before = failures("broken off")
    async with asyncio.timeout(5):
        await run_loops({"broken off": broken_off}, stop=stop, service="sample")
    assert len(starts) == 2
    assert failures("broken off") == before + 1


async def test_a_cancelled_worker_ends() -> None:
    running = asyncio.create_task(run_loops({"idle": asyncio.Event().wait}, stop=asyncio.Event()))  # type: ignore[dict-item]
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_every_runs_now_and_then_again() -> None:
    stop, runs = asyncio.Event(), []

    async def action() -> None:
        runs.append(1)
        if len(runs) == 3:
            stop.set()

    async with asyncio.timeout(2):
        await every(0.01, action, stop=stop)
    assert len(runs) == 3


@asynccontextmanager
async def contender(db: Database, name: str = "reconcile") -> AsyncIterator[asyncio.Task[Leader]]:
    """A process that wants to lead; the task is done when it does."""
    stop, resign = asyncio.Event(), asyncio.Event()
    leads: asyncio.Future[Leader] = asyncio.get_running_loop().create_future()

    async def run() -> None:
        async with leadership(db, name, stop) as leader:
            if not stop.is_set():
                leads.set_result(leader)
                await resign.wait()

    async def wait() -> Leader:
        return await leads

    running, waiting = asyncio.create_task(run()), asyncio.create_task(wait())
    try:
        yield waiting
    finally:
        stop.set()
        resign.set()
        await running
        waiting.cancel()


async def test_one_leads_and_the_other_follows_when_it_resigns(worker_db: Database) -> None:
    async with contender(worker_db) as second_chance:
        await asyncio.wait_for(second_chance, 2)
        async with contender(worker_db) as second:
            await asyncio.sleep(0.7)
            assert not second.done()
    async with contender(worker_db) as third:
        await asyncio.wait_for(third, 2)


async def test_leaders_of_two_things_do_not_meet(worker_db: Database) -> None:
    async with contender(worker_db, "one") as one, contender(worker_db, "two") as two:
        await asyncio.wait_for(asyncio.gather(one, two), 2)


async def test_when_the_leaders_connection_dies_it_knows_and_another_leads(
    worker_db: Database, superuser: asyncpg.Connection
) -> None:
    async with contender(worker_db) as first, contender(worker_db) as second:
        done, _ = await asyncio.wait([first, second], return_when=asyncio.FIRST_COMPLETED)
        loser = second if first in done else first
        leader = done.pop().result()
        leader.check()
        await superuser.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
        )
        await asyncio.wait_for(loser, 3)
        # PostgreSQL lets go of the lock before it closes the socket, so the old leader may know a moment later.
        with pytest.raises(LeadershipLost):
            async with asyncio.timeout(5):
                while True:
                    leader.check()
                    await asyncio.sleep(0.01)
        loser.result().check()


async def test_a_stop_ends_the_wait_for_leadership(worker_db: Database) -> None:
    async with contender(worker_db) as leader:
        await asyncio.wait_for(leader, 2)
        started = asyncio.get_running_loop().time()
        async with contender(worker_db) as other:
            await asyncio.sleep(0.1)
            assert not other.done()
    assert asyncio.get_running_loop().time() - started < 1
