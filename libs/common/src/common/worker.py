"""A worker: loops that run until the process is told to stop, each started again when it fails.

As a process of its own it has a door where WORKER_PORT says: `/livez` and `/metrics`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from common.log import configure_logging, get_logger
from common.metrics import LOOP_FAILURES
from common.settings import ServiceSettings
from common.tasks import was_cancelled
from common.tracing import instrument

S = TypeVar("S", bound=ServiceSettings)
Loop = Callable[[], Awaitable[None]]
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.1, 5.0
# Longer than any timeout of ours: a loop that hangs and then fails never counts as one that works.
_STEADY_SECONDS = 90.0
# A loop begins again by itself, and a new process cures no outage of another part. What still fails after so long may
# be ours: a secret that was replaced, a wedged client. Longer than the ten minutes after which Kubernetes forgets how
# often it restarted a container, so that no back-off grows, and a worker goes on soon after a long outage ends.
_PATIENCE_SECONDS = 900.0
# Of each loop of this process that failed: since when, and when last.
FAILURES: dict[str, tuple[float, float]] = {}
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
        except (Exception, asyncio.CancelledError) as error:
            if was_cancelled():
                raise
            if stop.is_set():
                return
            LOOP_FAILURES.labels(service, name).inc()
            note_failure(name, asyncio.get_running_loop().time())
            said = f"{type(error).__name__}: {error}"
            log.warning("loop.failed", loop=name, error=said, again_in_seconds=round(wait, 1))
            log.debug("loop.failure", loop=name, exc_info=error)
        if asyncio.get_running_loop().time() - started > _STEADY_SECONDS:
            wait = _FIRST_WAIT_SECONDS
        await _sleep(wait * random.uniform(0.5, 1.5), stop)  # noqa: S311 - jitter
        wait = min(wait * 2, _LONGEST_WAIT_SECONDS)


def note_failure(loop: str, now: float) -> None:
    """The loop is failing: since now, or for as long as it has without working in between."""
    since, last = FAILURES.get(loop, (now, now))
    FAILURES[loop] = (since if now - last < _STEADY_SECONDS else now, now)


def failing(now: float) -> list[str]:
    """The loops that have been failing for longer than anybody should wait for them."""
    long_ago, lately = now - _PATIENCE_SECONDS, now - _STEADY_SECONDS
    return [loop for loop, (since, last) in FAILURES.items() if since < long_ago and last > lately]


async def door(scope: Scope, receive: Receive, send: Send) -> None:
    """`/livez`: this process answers, and no loop of it is beyond hope. `/metrics`: Prometheus' text format."""
    answer = Response(status_code=404)
    if scope["path"] == "/livez":
        found = failing(asyncio.get_running_loop().time())
        answer = JSONResponse({"failing": found}, 503 if found else 200)
    elif scope["path"] == "/metrics":
        answer = Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
    await answer(scope, receive, send)


async def _sleep(seconds: float, stop: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


async def every(seconds: float, action: Loop, *, stop: asyncio.Event) -> None:
    """Run `action` now and then every `seconds` until `stop` is set."""
    while not stop.is_set():
        await action()
        await _sleep(seconds, stop)


def stop_on_signals(stop: asyncio.Event) -> None:
    """SIGTERM and SIGINT set `stop`."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


def spare_the_collector() -> None:
    """The garbage collector never again looks at what is there now.

    Modules and models live as long as the process does, and are some hundred thousand objects: to look at all of them
    took 90 ms, of whichever request it fell into.
    """
    gc.collect()
    gc.freeze()


def main(run: Callable[[S, asyncio.Event], Awaitable[None]], settings_type: type[S], *, service: str) -> None:
    """The body of a worker's `__main__`: read the settings, run until told to stop."""
    settings = settings_type()
    configure_logging(service, settings.log_level)
    instrument(None, settings=settings, service=f"{service}-worker")

    async def body() -> None:
        stop = asyncio.Event()
        stop_on_signals(stop)
        serving = asyncio.create_task(_serve_door(settings.worker_host, settings.worker_port))
        try:
            await run(settings, stop)
        finally:
            serving.cancel()

    asyncio.run(body())


async def _serve_door(host: str, port: int | None) -> None:
    # Uvicorn hears the signals beside the loop, and closes the door; the work ends by `stop`, in its own time.
    if port is not None:
        config = uvicorn.Config(door, host=host, port=port, log_config=None, lifespan="off")
        await uvicorn.Server(config).serve()
