"""`python -m common.serve` as a process: it serves, works beside, and ends when told to."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from devstack.embedded import ports
from devstack.embedded.databases import DatabaseUrls

FILES = {
    "settings.py": """
        from pydantic_settings import SettingsConfigDict
        from common.settings import ServiceSettings
        class Settings(ServiceSettings):
            model_config = SettingsConfigDict(env_prefix="TINY_", frozen=True)
            fails: bool = False
        """,
    "main.py": """
        import asyncio
        from contextlib import asynccontextmanager
        from fastapi import APIRouter
        from common.db import Database
        from common.http.app import create_service_app
        from common.http.auth import PublicCaller
        router = APIRouter()
        @router.get("/slow")
        async def slow(_: PublicCaller) -> str:
            await asyncio.sleep(1)
            return "done"
        def create_app(settings):
            @asynccontextmanager
            async def lifespan(app):
                if settings.fails:
                    raise RuntimeError("cannot start")
                yield
            return create_service_app(name="tiny", settings=settings, routers=[router], lifespan=lifespan,
                db=Database(settings.database_url.get_secret_value(), name="tiny"))
        """,
    "worker.py": """
        from pathlib import Path
        from common.worker import main, run_loops
        from tiny.settings import Settings
        async def run(settings, stop):
            mark = Path(__file__).with_name("worked")
            async def work():
                mark.write_text("started")
                await stop.wait()
                mark.write_text("ended")
            await run_loops({"work": work}, stop=stop, service="tiny")
        if __name__ == "__main__":
            main(run, Settings, service="tiny")
        """,
}


@dataclass
class Tiny:
    """A service of three files, and its environment."""

    folder: Path
    environment: dict[str, str]

    @property
    def mark(self) -> Path:
        return self.folder / "tiny" / "worked"

    @contextmanager
    def run(self, *arguments: str, **extra: str) -> Iterator[subprocess.Popen[str]]:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env=self.environment | extra,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


@pytest.fixture
def tiny(tmp_path: Path, urls: DatabaseUrls) -> Tiny:
    package = tmp_path / "tiny"
    package.mkdir()
    for name, text in FILES.items():
        lines = text.splitlines()[1:]
        (package / name).write_text("\n".join(line[8:] for line in lines))
    environment = {
        "PATH": os.defpath, "PYTHONPATH": str(tmp_path), "DATABASE_URL": urls.api, "DATABASE_WORKER_URL": urls.worker,
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "REDIS_URL": "redis://127.0.0.1:1", "TOKEN_ISSUER": "http://x",
        "JWKS_URL": "http://127.0.0.1:1/jwks",
    }  # fmt: skip
    return Tiny(tmp_path, environment)


async def answered(process: subprocess.Popen[str], url: str) -> int:
    async with httpx.AsyncClient() as client, asyncio.timeout(20):
        while True:
            assert process.poll() is None
            try:
                return (await client.get(url)).status_code
            except httpx.TransportError:
                await asyncio.sleep(0.05)


def told_to_end(process: subprocess.Popen[str], number: int) -> str:
    """What it wrote until it ended, in good order and soon."""
    process.send_signal(number)
    started = time.monotonic()
    _, written = process.communicate(timeout=10)
    assert (process.returncode, time.monotonic() - started < 5) == (0, True)
    return written


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_and_works_until_it_is_told_to_end(tiny: Tiny, number: int) -> None:
    port = ports.free_port()
    with tiny.run("common.serve", "tiny", "--port", str(port), "--with-worker") as process:
        assert await answered(process, f"http://127.0.0.1:{port}/readyz") == 200
        assert tiny.mark.read_text() == "started"
        async with httpx.AsyncClient() as client:
            under_way = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/slow"))
            await asyncio.sleep(0.3)
            written = await asyncio.to_thread(told_to_end, process, number)
            assert (await under_way).json() == "done"  # a request under way is answered first
    assert tiny.mark.read_text() == "ended"
    assert all(json.loads(line)["service"] == "tiny" for line in written.splitlines())
    assert not ports.accepts(port)


async def test_without_the_switch_no_worker_runs_beside(tiny: Tiny) -> None:
    port = ports.free_port()
    with tiny.run("common.serve", "tiny", "--port", str(port)) as process:
        assert await answered(process, f"http://127.0.0.1:{port}/livez") == 200
        told_to_end(process, signal.SIGTERM)
    assert not tiny.mark.exists()


async def test_a_worker_of_its_own_ends_when_told_to(tiny: Tiny) -> None:
    with tiny.run("tiny.worker") as process:
        async with asyncio.timeout(20):
            while not tiny.mark.exists():
                await asyncio.sleep(0.05)
        told_to_end(process, signal.SIGTERM)
    assert tiny.mark.read_text() == "ended"


@pytest.mark.parametrize("with_worker", [[], ["--with-worker"]], ids=["alone", "with worker"])
def test_a_service_that_cannot_start_ends_with_an_error(tiny: Tiny, with_worker: list[str]) -> None:
    command = ("common.serve", "tiny", "--port", str(ports.free_port()), *with_worker)
    with tiny.run(*command, TINY_FAILS="true") as process:
        _, written = process.communicate(timeout=20)
        assert process.returncode not in (0, None)
        assert "cannot start" in written


async def test_requests_are_traced_where_an_endpoint_is_given(tiny: Tiny) -> None:
    received: asyncio.Future[tuple[str, bytes]] = asyncio.get_running_loop().create_future()

    async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-length")
        )
        body = await reader.readexactly(length)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()
        if not received.done():
            received.set_result((head.split()[1], body))

    port = ports.free_port()
    async with await asyncio.start_server(collect, "127.0.0.1", 0) as collector:
        endpoint = "http://{}:{}".format(*collector.sockets[0].getsockname())
        command = ("common.serve", "tiny", "--port", str(port))
        with tiny.run(*command, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as process:
            assert await answered(process, f"http://127.0.0.1:{port}/slow") == 200
            await asyncio.to_thread(told_to_end, process, signal.SIGTERM)  # what is not sent yet is sent now
        path, body = await asyncio.wait_for(received, 10)
    assert path == "/v1/traces"
    assert b"GET /slow" in body
    assert b"marketplace-tiny" in body


def test_a_port_that_is_taken_is_an_error(tiny: Tiny) -> None:
    port = ports.free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with tiny.run("common.serve", "tiny", "--port", str(port), "--with-worker") as process:
            _, written = process.communicate(timeout=20)
            assert process.returncode not in (0, None)
            assert str(port) in written
