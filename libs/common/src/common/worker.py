"""A worker: loops that run until the process is told to stop, each started again when it fails."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from common.log import configure_logging, get_logger
from common.metrics import LOOP_FAILURES
from common.settings import ServiceSettings

S = TypeVar("S", bound=ServiceSettings)
Loop = Callable[[], Awaitable[None]]
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.1, 5.0
_STEADY_SECONDS = 30.0
log = get_logger()


async def run_loops(loops: Mapping[str, Loop], *, stop: asyncio.Event, service: str = "") -> None:
    """Run all loops until `stop` is set; one that raises is logged, counted and started again after a while."""
    async with asyncio.TaskGroup() as group:
        for name, loop in loops.items():
            group.create_task(_keep_running(name, loop, stop=stop, service=service))


async def _keep_running(name: str, loop: Loop, *, stop: asyncio.Event, service: str) -> None:
    wait = _FIRST_WAIT_SECONDS
    while not stop.is_set():
        started = asyncio.get_running_loop().time()
        try:
            await loop()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if stop.is_set():
                return
            LOOP_FAILURES.labels(service, name).inc()
            log.warning(
                "loop.failed",
                loop=name,
                error=f"{type(error).__name__}: {error}",
                again_in_seconds=round(wait, 1),
            )
            log.debug("loop.failure", loop=name, exc_info=error)
        if asyncio.get_running_loop().time() - started > _STEADY_SECONDS:
            wait = _FIRST_WAIT_SECONDS
        await _sleep(wait * random.uniform(0.5, 1.5), stop)  # noqa: S311 - jitter
        wait = min(wait * 2, _LONGEST_WAIT_SECONDS)


async def _sleep(seconds: float, stop: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


async def every(seconds: float, action: Loop, *, stop: asyncio.Event) -> None:
    """Run `action` now and then every `seconds` until `stop` is set."""
    while not stop.is_set():
        await action()
        await _sleep(seconds, stop)


def stop_on_signals(stop: asyncio.Event) -> None:
    """SIGTERM and SIGINT set `stop`."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


def main(run: Callable[[S, asyncio.Event], Awaitable[None]], settings_type: type[S], *, service: str) -> None:
    """The body of a worker's `__main__`: read the settings, run until told to stop."""
    settings = settings_type()
    configure_logging(service, settings.log_level)

    async def body() -> None:
        stop = asyncio.Event()
        stop_on_signals(stop)
        await run(settings, stop)

    asyncio.run(body())
