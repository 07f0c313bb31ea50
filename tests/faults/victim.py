"""The shipped programs with places to die: what `./marketplace faults` starts, and kills.

A process of this module loads the programs once and forks one of them for each line `{"role": …}` on its standard
input, so that starting one again costs milliseconds. It answers `{"started": pid}`, and `{"ended": pid, "code": …}`
when one is gone (a negative code is the signal that killed it). At the end of its input it ends all of them.

A failpoint is `{"at": step, "nth": 3, "after": 0.004}`: the third time that the shipped code has passed `step` (and
then so many seconds), the process kills itself, or with `"signal": 19` stops itself, as by kill -9 or kill -STOP. The
shipped code only calls `passed(step)`, which does nothing there: no setting can arm it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from common.clock import SystemClock
from common.db import Database
from common.log import configure_logging
from common.outbox.relay import relay
from common.steps import Passed
from common.worker import every, run_loops, stop_on_signals
from kong_sync.clients.http1 import Http1
from kong_sync.domain.records import Tables
from kong_sync.settings import Settings as KongSyncSettings
from kong_sync.usecases.plan_changes import plan_changes
from kong_sync.usecases.reconcile import reconcile
from metering import worker
from metering.consumers.requests import consume_requests
from metering.main import create_app
from metering.settings import Settings
from metering.usecases.republish import republish
from tests.faults import broken
from tests.kong_sync import market
from tests.kong_sync.factories import a_key, a_subscription, a_version, an_api, an_id, some_tables


def failpoint(point: dict[str, Any] | None) -> Passed:
    """What to hand to the shipped code as `passed`."""
    left = point["nth"] if point else 0

    def end() -> None:
        os.kill(os.getpid(), (point or {}).get("signal", signal.SIGKILL))

    def passed(step: str) -> None:
        nonlocal left
        if point is None or step != point["at"]:
            return
        left -= 1
        if left == 0:
            if point["after"]:
                asyncio.get_running_loop().call_later(point["after"], end)
            else:
                end()

    return passed


async def ingest(passed: Passed) -> None:
    """The API, on the port that INGEST_PORT names."""
    app = create_app()
    app.state.kafka_log.passed = passed
    port = int(os.environ["INGEST_PORT"])  # noqa: TID251 - this program's own
    await uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, access_log=False)).serve()


async def consumer(passed: Passed) -> None:
    """The consumer of the request log, begun again when it fails, as in the worker."""
    stop, clock, settings = asyncio.Event(), SystemClock(), Settings()
    stop_on_signals(stop)
    db = Database(settings.database_worker_url.get_secret_value(), name="metering worker")
    reading = worker.reading_of(settings)

    async def requests() -> None:
        await consume_requests(reading, db=db, clock=clock, stop=stop, passed=passed)

    await run_loops({"requests": requests}, stop=stop, service="metering")
    await db.dispose()


async def folder(passed: Passed) -> None:
    """The worker's loops that add to the rollups what batches wrote down, and settle hours; all hours, here."""
    stop, clock, settings = asyncio.Event(), SystemClock(), Settings()
    stop_on_signals(stop)
    db = Database(settings.database_worker_url.get_secret_value(), name="metering folder")

    async def fold() -> None:
        await every(settings.fold_seconds, lambda: worker.fold_pending(db, passed), stop=stop)

    async def settle() -> None:
        later = clock.now() + timedelta(hours=1)
        await every(
            settings.fold_seconds, lambda: worker.settle_over(db, before=later, passed=passed), stop=stop
        )

    await run_loops({"fold": fold, "hours": settle}, stop=stop, service="metering")
    await db.dispose()


async def sender(passed: Passed) -> None:
    """The outbox relay."""
    stop, clock, settings = asyncio.Event(), SystemClock(), Settings()
    stop_on_signals(stop)
    db = Database(settings.database_worker_url.get_secret_value(), name="metering relay")

    async def send() -> None:
        await relay(
            db=db, settings=settings, clock=clock, stop=stop, service="metering", republish=republish, passed=passed
        )  # fmt: skip

    await run_loops({"relay": send}, stop=stop, service="metering")
    await db.dispose()


async def everything(_: Passed) -> None:
    """The whole worker."""
    stop = asyncio.Event()
    stop_on_signals(stop)
    await worker.run(Settings(), stop)


async def kong_sync(passed: Passed) -> None:
    """A pass of kong-sync over a small marketplace; ends well only when nothing is left to do."""
    settings = KongSyncSettings()
    db = Database(settings.database_worker_url.get_secret_value(), name="kong-sync")
    shipped = Http1.handle_async_request

    async def watched(self: Http1, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return await shipped(self, request)
        passed("write asked for")
        answer = await shipped(self, request)
        passed("write answered")
        return answer

    Http1.handle_async_request = watched  # type: ignore[method-assign]
    await market.tell(db, _marketplace(int(os.environ["FAULTS_SEED"])))  # noqa: TID251 - this program's own
    gateway, clock = settings.gateway(), SystemClock()
    for _ in range(2):
        report = await reconcile(db, gateway, clock=clock, stop=asyncio.Event())
        assert report.error is None, report.error
    left = (await plan_changes(db, gateway, now=clock.now(), generation="x")).plan.changes
    assert not left, left
    await gateway.close()
    await db.dispose()


def _marketplace(seed: int) -> Tables:
    apis = [an_api(id=an_id(f"api {seed} {n}"), slug=f"pay-{n}") for n in range(2)]
    versions = [a_version(id=an_id(f"v1 {api.id}"), api_id=api.id) for api in apis]
    subscriptions = [a_subscription(id=an_id(f"s {seed} {n}"), api_id=apis[n % 2].id) for n in range(4)]
    keys = [
        a_key(id=an_id(f"k {s.id}"), subscription_id=s.id, sha256=hashlib.sha256(s.id.encode()).hexdigest())
        for s in subscriptions
    ]
    return some_tables(apis=apis, versions=versions, subscriptions=subscriptions, keys=keys)


ROLES: dict[str, Callable[[Passed], Coroutine[Any, Any, None]]] = {
    "ingest": ingest, "consumer": consumer, "folder": folder, "relay": sender, "worker": everything,
    "kong-sync": kong_sync,
}  # fmt: skip


def play(order: dict[str, Any]) -> None:
    """The forked process: one of the programs, until it ends or is ended."""
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who gives the orders
    os.environ.update(order["environment"])  # noqa: TID251 - what a program started anew would be given
    code = 1
    try:
        configure_logging(order["role"], "INFO")
        if order.get("broken"):
            broken.VARIANTS[order["broken"]]()
        asyncio.run(ROLES[order["role"]](failpoint(order.get("failpoint"))))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def tell(fact: dict[str, int]) -> None:
    """Answer the one who gives the orders."""
    os.write(1, json.dumps(fact).encode() + b"\n")


def main() -> None:
    """Read orders, fork, and tell who ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    living: set[int] = set()
    pending = b""
    while True:
        ready, _, _ = select.select([0], [], [], 0.01)
        if ready:
            chunk = os.read(0, 1 << 16)
            if not chunk:
                break
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                pid = os.fork()
                if pid == 0:
                    play(json.loads(line))
                living.add(pid)
                tell({"started": pid})
        for pid in list(living):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                living.discard(pid)
                tell({"ended": pid, "code": os.waitstatus_to_exitcode(status)})
    for pid in living:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main()
