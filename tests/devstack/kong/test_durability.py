"""The program itself: killed, stopped, started again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from .conftest import Kong
from .support import TinyServer, eventually, send


@dataclass
class Program:
    """`python -m devstack.kong` on ports of its own."""

    state: Path
    arguments: tuple[str, ...] = ()
    process: asyncio.subprocess.Process | None = None
    admin_port: int = 0
    proxy_port: int = 0
    said: list[str] = field(default_factory=list)
    listener: asyncio.Task[None] | None = None

    async def start(self) -> Kong:
        command = [sys.executable, "-m", "devstack.kong", "--state", str(self.state), *self.arguments]
        ports = ["--admin-port", str(self.admin_port), "--proxy-port", str(self.proxy_port)]
        self.process = await asyncio.create_subprocess_exec(*command, *ports, stderr=asyncio.subprocess.PIPE)
        assert self.process.stderr is not None
        async with asyncio.timeout(10):
            line = (await self.process.stderr.readline()).decode()
        words = line.replace(",", "").split()
        self.admin_port, self.proxy_port = int(words[3]), int(words[5])
        self.listener = asyncio.create_task(self._listen(self.process.stderr))
        return Kong(self.admin_port, self.proxy_port, None)  # type: ignore[arg-type]

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        async for line in stream:
            self.said.append(line.decode())

    async def end(self, how: signal.Signals) -> int:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(how)
        async with asyncio.timeout(15):
            code = await self.process.wait()
            if self.listener is not None:
                await self.listener
        return code


@pytest_asyncio.fixture
async def program(tmp_path: Path) -> AsyncIterator[Program]:
    started = Program(tmp_path / "kong")
    yield started
    if started.process is not None and started.process.returncode is None:
        await started.end(signal.SIGKILL)


async def test_what_the_admin_api_acknowledged_survives_a_kill(
    program: Program, upstream: TinyServer
) -> None:
    kong = await program.start()
    await kong.route("echo", upstream.port)
    await kong.plugin("/services/echo", "key-auth")
    made: list[str] = []

    async def write(name: str) -> None:
        with contextlib.suppress(ConnectionError, IndexError, ValueError):
            if (await kong.admin("POST", "/consumers", {"username": name})).status == 201:
                reply = await kong.admin("POST", f"/consumers/{name}/key-auth", {"key": f"key-{name}"})
                if reply.status == 201:
                    made.append(name)

    writers = [asyncio.create_task(write(f"c{number}")) for number in range(200)]
    await eventually(lambda: len(made) > 20)
    await program.end(signal.SIGKILL)  # while writes are under way
    await asyncio.gather(*writers)
    assert len(made) < 200
    await program.start()
    for name in made:
        assert (await kong.get("/echo/x", apikey=f"key-{name}")).status == 200


async def test_every_answered_request_is_in_the_file_after_a_kill(
    program: Program, upstream: TinyServer, tmp_path: Path
) -> None:
    log = tmp_path / "file.log"
    kong = await program.start()
    await kong.route("echo", upstream.port)
    await kong.plugin("/services/echo", "file-log", path=str(log))
    answered: set[str] = set()

    async def call() -> None:
        with contextlib.suppress(ConnectionError, IndexError, ValueError):
            while True:
                reply = await kong.get("/echo/x")
                answered.add(reply.header("x-kong-request-id") or "")

    callers = [asyncio.create_task(call()) for _ in range(8)]
    await eventually(lambda: len(answered) > 50)
    await program.end(signal.SIGKILL)
    await asyncio.gather(*callers)
    lines = log.read_bytes().splitlines(keepends=True)
    assert all(line.endswith(b"\n") for line in lines)
    assert answered <= {json.loads(line)["request"]["id"] for line in lines}
    await program.start()
    assert (await kong.get("/echo/x")).status == 200


async def test_being_told_to_stop_hands_on_what_is_queued(
    program: Program, upstream: TinyServer, sink: TinyServer
) -> None:
    kong = await program.start()
    await kong.route("echo", upstream.port)
    queue = {"max_batch_size": 200, "max_coalescing_delay": 60}
    await kong.plugin(
        "/services/echo", "http-log", http_endpoint=f"http://127.0.0.1:{sink.port}/", queue=queue
    )
    for _ in range(3):
        await kong.get("/echo/x")
    assert sink.seen == []
    assert await program.end(signal.SIGTERM) == 0
    assert len(json.loads(sink.seen[0].body)) == 3


async def test_core_changes_can_be_made_to_take_their_time(program: Program, upstream: TinyServer) -> None:
    program.arguments = ("--propagation-delay", "0.3")
    kong = await program.start()
    await kong.route("echo", upstream.port)
    assert (await kong.get("/echo/x")).status == 404
    await asyncio.sleep(0.5)
    assert (await kong.get("/echo/x")).status == 200


@pytest.mark.skipif(not os.path.exists("/proc"), reason="reads /proc")
async def test_it_listens_on_loopback_only(program: Program) -> None:
    kong = await program.start()
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    ports = {f"{port:04X}" for port in (kong.admin_port, kong.proxy_port)}
    listening = [
        row.split()[1] for row in rows if row.split()[3] == "0A" and row.split()[1].split(":")[1] in ports
    ]
    assert {address.split(":")[0] for address in listening} == {"0100007F"}
    assert (await send(kong.admin_port, "GET", "/status")).status == 200
