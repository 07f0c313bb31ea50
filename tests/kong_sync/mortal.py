"""A process that makes passes and dies of SIGKILL in the middle of them.

It imports everything once and forks for each pass. A line on its standard input asks for one (`Asked`); the answer is
a line: `died`, `survived`, or `failed`.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import os
import pickle
import signal
import sys
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from common.db import Database, Scope
from kong_sync.clients.gateway import Gateway
from kong_sync.clients.http1 import Http1
from kong_sync.clients.kong_admin import KongAdmin
from kong_sync.clients.kong_proxy import KongProxy
from kong_sync.domain.edge import Edge
from kong_sync.usecases.reconcile import reconcile
from tests.support.clock import FixedClock


@dataclass(frozen=True, slots=True)
class Asked:
    """A pass of one market, and at which of its steps the process dies."""

    database_url: str
    admin_url: str
    proxy_url: str
    edge: Edge
    now: datetime
    sweep: bool
    dies_at: int
    before: bool


class Mortal:
    """The process, seen from the tests."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls) -> Self:
        command = (sys.executable, "-m", __name__)
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe))

    async def make_pass(self, asked: Asked) -> bool:
        """A process of its own made a pass. True when it got to the end: the pass has no step `dies_at`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(base64.b64encode(pickle.dumps(asked)) + b"\n")
        answer = (await self._process.stdout.readline()).decode().strip()
        assert answer in {"died", "survived"}, answer
        return answer == "survived"

    async def stop(self) -> None:
        self._process.kill()
        await self._process.wait()


@dataclass(slots=True)
class Life:
    """Steps that are left; after the last the process is gone, without a word to anybody.

    What changes something is one step, when it is in force and nobody has heard so. `before` makes the moment at which
    it is about to be done another one, although only what changes by itself can tell that from the step before.
    """

    left: int
    before: bool

    def about_to(self) -> None:
        if self.before:
            self.done()

    def done(self) -> None:
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1


_WROTE = text("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")


class MortalDatabase(Database):
    """Each commit that changes something is a step."""

    def __init__(self, url: str, life: Life) -> None:
        super().__init__(url, name="mortal")
        self._life = life

    @asynccontextmanager
    async def begin(self, scope: Scope | None = None) -> AsyncIterator[AsyncSession]:
        async with super().begin(scope) as session:
            yield session
            wrote = await session.scalar(_WROTE)
            if wrote:
                self._life.about_to()
        if wrote:
            self._life.done()


class MortalTransport(Http1):
    """Each write to the Admin API is a step."""

    def __init__(self, life: Life) -> None:
        super().__init__()
        self._life = life

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return await super().handle_async_request(request)
        self._life.about_to()
        response = await super().handle_async_request(request)
        self._life.done()
        return response


async def _make_pass(asked: Asked) -> None:
    life = Life(asked.dies_at, asked.before)
    gateway = Gateway(
        admin=KongAdmin(asked.admin_url, transport=MortalTransport(life), attempts=1),
        proxy=KongProxy(asked.proxy_url),
        edge=asked.edge, public_proxy_url=asked.proxy_url, canary_connections=1,
    )  # fmt: skip
    db = MortalDatabase(asked.database_url, life)
    await reconcile(db, gateway, clock=FixedClock(asked.now), stop=asyncio.Event(), sweep=asked.sweep)


async def _warm_up() -> None:
    """What is imported with the first call only is imported."""
    nowhere = MortalTransport(Life(1_000, before=False))
    with suppress(httpx.TransportError):
        await nowhere.handle_async_request(httpx.Request("PUT", "http://127.0.0.1:9"))
    with suppress(OSError):
        await Database("postgresql+asyncpg://nobody@127.0.0.1:9/nothing", name="nobody").ping()


def _fork(asked: Asked) -> str:
    child = os.fork()
    if child == 0:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what is logged is no answer
        try:
            asyncio.run(_make_pass(asked))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "died" if os.WTERMSIG(status) == signal.SIGKILL else "failed"
    return "survived" if status == 0 else "failed"


if __name__ == "__main__":
    # as `Asked` names it, who is met again when unpickled
    from tests.kong_sync.mortal import _fork, _warm_up

    asyncio.run(_warm_up())
    # a collection in a child would copy all that it shares with us, which is more work than its pass
    gc.freeze()
    gc.disable()
    for line in sys.stdin:
        sys.stdout.write(f"{_fork(pickle.loads(base64.b64decode(line)))}\n")
        sys.stdout.flush()
