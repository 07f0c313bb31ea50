"""`--chaos`: kill -9 on one process after the other, each while it has work in flight."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from devstack.stack import state as states
from devstack.stack.layout import Layout

# The embedded broker keeps its log in memory, so what it acknowledged and nobody read yet dies with it: it is spared.
# A real one is killed too.
DURING_CALLS = ("kong", "upstream", "metering", "postgres", "redis")
_READY_SECONDS = 60.0
_BUSY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill, and how much work the victim had at that instant."""

    process: str
    in_flight: int
    measured: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Load:
    """How to see a victim's work in flight, and what it is that is counted."""

    measured: str
    sample: Callable[[], Awaitable[int]]


class Killer:
    """Kills processes of the running stack and waits until the supervisor has them back."""

    def __init__(self, layout: Layout, *, seed: int) -> None:
        self._layout, self._random = layout, random.Random(seed)
        self.kills: list[Kill] = []

    def victims(self, names: Sequence[str]) -> list[str]:
        """The victims in the seed's order."""
        return self._random.sample(list(names), len(names))

    async def kill(self, name: str, load: Load) -> Kill:
        """`name` was killed with work in flight, and is ready again. It is not killed when it has none."""
        before = self._process(name)
        deadline = time.monotonic() + _BUSY_SECONDS
        while (in_flight := await load.sample()) < 1:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{name} had nothing to do for {_BUSY_SECONDS:.0f} s: {load.measured}")
            await asyncio.sleep(0.002)
        os.kill(before.pid, signal.SIGKILL)
        began = time.monotonic()
        while time.monotonic() - began < _READY_SECONDS:
            after = self._process(name)
            if after.pid != before.pid and after.ready:
                break
            await asyncio.sleep(0.05)
        else:
            raise TimeoutError(f"{name} was killed and did not come back within {_READY_SECONDS:.0f} s")
        kill = Kill(name, in_flight, load.measured, round(time.monotonic() - began, 2))
        self.kills.append(kill)
        return kill

    def _process(self, name: str) -> states.ProcessState:
        state = states.load(self._layout)
        if state is None or name not in state.processes:
            raise RuntimeError(f"{name} is not a process of the running stack")
        return state.processes[name]

    async def kill_during(
        self, name: str, work: Sequence[Callable[[], Awaitable[Any]]], load: Load | None = None
    ) -> list[Any]:
        """Do all of `work`, one after the other, and kill `name` in the middle; the results of all are returned.

        `load` says what `name` has to do; without it that is the request of `work` that is open.
        """
        done: list[Any] = []
        busy = 0

        async def everything() -> None:
            nonlocal busy
            for one in work:
                busy = 1
                done.append(await one())
                busy = 0

        async def open_requests() -> int:
            return busy

        task = asyncio.ensure_future(everything())
        try:
            while len(done) < len(work) // 3 and not task.done():
                await asyncio.sleep(0.001)
            await self.kill(name, load or Load("requests open at the process", open_requests))
        finally:
            await task
        return done
