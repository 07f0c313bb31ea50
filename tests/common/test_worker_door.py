"""A worker's own process: its door, what the door says, and its traces."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import pytest

from common import worker
from common.worker import door, failing, note_failure
from devstack.embedded import ports

WORKER = """
import asyncio, sys
import httpx
from common.settings import ServiceSettings
from common.worker import main, run_loops
async def run(settings, stop):
    async def work():
        async with httpx.AsyncClient() as client:
            await client.get(sys.argv[1])
        await stop.wait()
        print("the work ended", flush=True)
    async def fail():
        raise RuntimeError("again")
    await run_loops({"work": work, "fail": fail}, stop=stop, service="tiny")
main(run, ServiceSettings, service="tiny")
"""
ENVIRONMENT = {
    "DATABASE_URL": "postgresql+asyncpg://a:b@127.0.0.1:1/x", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "DATABASE_WORKER_URL": "postgresql+asyncpg://w:b@127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1",
    "JWKS_URL": "http://127.0.0.1:1/jwks", "TOKEN_ISSUER": "http://x",
}  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_failed() -> Iterator[None]:
    """This process has no worker: what a test noted is forgotten."""
    worker.FAILURES.clear()
    yield
    worker.FAILURES.clear()


@contextmanager
def run(folder: Path, argument: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    (folder / "tiny.py").write_text(WORKER)
    process = subprocess.Popen(
        [sys.executable, str(folder / "tiny.py"), argument], env=ENVIRONMENT | environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@asynccontextmanager
async def listener() -> AsyncIterator[tuple[str, asyncio.Queue[tuple[str, bytes]]]]:
    """A server that answers 200 to everything: its URL, and what it was sent."""
    received: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lengths = [
            line.split(":")[1] for line in head.lower().splitlines() if line.startswith("content-length")
        ]
        body = await reader.readexactly(int(lengths[0]) if lengths else 0)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()
        received.put_nowait((head.split()[1], body))

    async with await asyncio.start_server(take, "127.0.0.1", 0) as server:
        yield "http://{}:{}".format(*server.sockets[0].getsockname()), received


async def opened(process: subprocess.Popen[str], url: str) -> httpx.Response:
    async with httpx.AsyncClient() as client, asyncio.timeout(20):
        while True:
            assert process.poll() is None
            try:
                return await client.get(url)
            except httpx.TransportError:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_worker_answers_at_its_port_and_ends_in_good_order(tmp_path: Path, number: int) -> None:
    port = ports.free_port()
    async with listener() as (url, received):
        with run(tmp_path, url, WORKER_PORT=str(port)) as process:
            alive = await opened(process, f"http://127.0.0.1:{port}/livez")
            await asyncio.wait_for(received.get(), 10)
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                metrics, other = await client.get("/metrics"), await client.get("/v1/anything")
            process.send_signal(number)
            written, logged = await asyncio.to_thread(process.communicate, timeout=10)
    assert (alive.status_code, alive.json()) == (200, {"failing": []})
    assert 'marketplace_loop_failures_total{loop="fail",service="tiny"}' in metrics.text
    assert metrics.headers["Content-Type"].startswith("text/plain; version=")
    assert other.status_code == 404
    assert (process.returncode, written) == (0, "the work ended\n")
    assert all(json.loads(line)["service"] == "tiny" for line in logged.splitlines())


async def test_without_a_port_there_is_no_door_and_with_an_endpoint_there_are_traces(tmp_path: Path) -> None:
    async with listener() as (url, received):
        with run(tmp_path, f"{url}/called", OTEL_EXPORTER_OTLP_ENDPOINT=url) as process:
            assert (await asyncio.wait_for(received.get(), 20))[0] == "/called"
            process.send_signal(signal.SIGTERM)
            written, logged = await asyncio.to_thread(process.communicate, timeout=10)
            path, body = await asyncio.wait_for(received.get(), 10)
    assert (process.returncode, written) == (0, "the work ended\n")
    assert "Uvicorn" not in logged
    assert path == "/v1/traces"
    assert b"marketplace-tiny-worker" in body
    assert b"/called" in body


def test_a_door_that_cannot_open_is_an_error(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with run(tmp_path, "http://127.0.0.1:1", WORKER_PORT=port) as process:
            _, logged = process.communicate(timeout=20)
    assert process.returncode not in (0, None)
    assert port in logged


def fail_each_minute(loop: str, *, first: float, minutes: int) -> float:
    for minute in range(minutes + 1):
        note_failure(loop, first + 60 * minute)
    return first + 60 * minutes


def test_a_loop_is_given_up_after_a_quarter_of_an_hour_of_nothing_but_failures() -> None:
    now = fail_each_minute("relay", first=1000, minutes=15)
    assert failing(now) == []
    assert failing(now + 1) == ["relay"]
    note_failure("relay", now + 60)
    note_failure("events", now + 60)
    assert failing(now + 61) == ["relay"]


def test_a_loop_that_works_again_is_well_and_its_next_failure_is_a_first_one() -> None:
    now = fail_each_minute("relay", first=1000, minutes=20)
    assert failing(now + 89) == ["relay"]
    assert failing(now + 90) == []
    now = fail_each_minute("relay", first=now + 90, minutes=15)
    assert failing(now) == []


async def test_livez_names_the_loops_that_are_given_up() -> None:
    now = asyncio.get_running_loop().time()
    fail_each_minute("relay", first=now - 20 * 60, minutes=20)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=door), base_url="http://worker") as client:
        answer = await client.get("/livez")
    assert (answer.status_code, answer.json()) == (503, {"failing": ["relay"]})
