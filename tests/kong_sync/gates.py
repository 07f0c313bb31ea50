"""Pages that are held back in the middle of their writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import httpx

from kong_sync.clients.kong_admin import KongAdmin
from kong_sync.domain.edge import Edge
from kong_sync.domain.limits import Limits
from kong_sync.domain.records import Tables
from kong_sync.usecases.serve_due import DueServer, serve_due
from tests.kong_sync.double import Faulty, as_sent
from tests.kong_sync.factories import a_phase, only
from tests.kong_sync.stage import Stage


@dataclass
class Gate:
    """Holds back writes to the Admin API. `held` is set when the first is waiting."""

    holds: Callable[[httpx.Request], bool]
    held: asyncio.Event = field(default_factory=asyncio.Event)
    open: asyncio.Event = field(default_factory=asyncio.Event)


class Gated(Faulty):
    """A transport with a gate in it; `done` are the writes that Kong said yes to, in order."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self.gate = gate
        self.done: list[tuple[str, str]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.gate.holds(as_sent(request)):
            self.gate.held.set()
            await self.gate.open.wait()
        response = await super().handle_async_request(request)
        if request.method != "GET":
            self.done.append((request.method, request.url.path))
        return response


@dataclass
class Page:
    """A page that is being written."""

    server: DueServer
    transport: Gated
    edge: Edge

    @property
    def done(self) -> list[tuple[str, str]]:
        """Method and id of each write that Kong said yes to."""
        return [(method, path.rpartition("/")[2]) for method, path in self.transport.done]

    def heard(self) -> None:
        """An event was handled in the same process."""
        assert self.server.interrupt is not None
        self.server.interrupt.set()

    def wrote(self, method: str, part: str) -> int:
        return self.done.count((method, self.edge.id_of(part)))


@asynccontextmanager
async def page(stage: Stage, gate: Gate) -> AsyncIterator[Page]:
    """While the block runs a page is held back at `gate`; afterwards nobody is due any more."""
    transport = Gated(gate)
    gateway = replace(stage.gateway, admin=KongAdmin(stage.double.admin_url, attempts=1, transport=transport))
    server = DueServer(stage.db, gateway, stage.clock, lambda: None, asyncio.Event())

    async def serve() -> None:
        async with server.stopping():
            await serve_due(server)

    serving = asyncio.create_task(serve())
    try:
        async with asyncio.timeout(60):
            await gate.held.wait()
            yield Page(server, transport, stage.gateway.edge)
    finally:
        gate.open.set()
        await asyncio.wait({serving})
        await gateway.admin.close()
        serving.result()
    assert server.served.unavailable is None


def changed(stage: Stage, version: int, status: str) -> Tables:
    """The subscription of that version, with other limits than before."""
    phase = a_phase(limits=Limits(minute=version))
    return only(subscriptions=[replace(stage.subscription, version=version, status=status, phases=(phase,))])


def put_of(stage: Stage, part: str) -> Callable[[httpx.Request], bool]:
    """Whether a request writes that part of the subscription."""
    id_ = stage.gateway.edge.id_of(part)
    return lambda request: request.method == "PUT" and request.url.path.endswith(id_)


async def until(met: Callable[[], bool]) -> None:
    while not met():
        await asyncio.sleep(0.005)


async def stays(stage: Stage, status: int) -> None:
    """So the gateway answers, and all of it is as wished."""
    assert (await stage.call()).status_code == status
    assert await stage.plan() == []
