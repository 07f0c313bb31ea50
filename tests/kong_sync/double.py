"""The gateway double as a process, a provider's server that records, and a transport that fails when told to."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import httpx

from devstack.embedded import ports
from kong_sync.clients.http1 import Http1

MASTER = "the master of the tests, 32 characters or more"


class Double:
    """A gateway double on ports of its own; it keeps its state when killed."""

    def __init__(self, folder: Path, *, propagation_seconds: float = 0.0) -> None:
        self._folder, self._propagation_seconds = folder, propagation_seconds
        self.admin_port, self.proxy_port = ports.free_port(), ports.free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def admin_url(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    @property
    def proxy_url(self) -> str:
        return f"http://127.0.0.1:{self.proxy_port}"

    async def start(self) -> None:
        command = [sys.executable, "-m", "devstack.kong", "--state", str(self._folder)]
        command += ["--admin-port", str(self.admin_port), "--proxy-port", str(self.proxy_port)]
        command += ["--propagation-delay", str(self._propagation_seconds)]
        environment = {
            **os.environ,  # noqa: TID251 - a child process
            "KONG_UNTRUSTED_LUA_SANDBOX_REQUIRES": "resty.sha256,resty.string,resty.openssl.hmac",
            "INGEST_TOKEN": "test",
            "UPSTREAM_MASTER": MASTER,
        }
        with (self._folder / "double.log").open("ab") as sink:
            self._process = subprocess.Popen(command, stdout=sink, stderr=sink, env=environment)
        async with httpx.AsyncClient() as client:
            for _ in range(200):
                try:
                    await client.get(f"{self.admin_url}/status")
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
                else:
                    return
        raise TimeoutError((self._folder / "double.log").read_text(encoding="utf-8"))

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)


class Upstream:
    """A provider's server: answers 200 and remembers each request's head."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.headers: dict[str, str] = {}
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/base"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
            sent = {"Content-Length": "2", "Connection": "close", **self.headers}
            head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
            writer.write(f"HTTP/1.1 200 OK\r\n{head}\r\nok".encode())
            await writer.drain()
        finally:
            writer.close()


def as_sent(request: httpx.Request) -> httpx.Request:
    """`request` with the URL that its target says."""
    target = request.extensions.get("target")
    if target is not None:
        request.url = request.url.copy_with(raw_path=target)
    return request


class Died(BaseException):
    """The process that made a call is gone."""


class Faulty(httpx.AsyncBaseTransport):
    """A transport to the Admin API that fails as `fault` says.

    `fault(number, request)` is asked before each write with the number of writes so far: "before" fails without
    sending, "after" sends and then cuts the connection, "slow" sends and gives up before the answer comes, "die before"
    and "die after" end the caller, an int is answered with that status, None lets it through.
    """

    def __init__(self, fault: Callable[[int, httpx.Request], str | int | None] = lambda _, __: None) -> None:
        self.fault = fault
        self.writes: list[tuple[str, str, Any]] = []
        self.reads = 0
        self._inner = Http1()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        as_sent(request)
        if request.method == "GET":
            self.reads += 1
            return await self._inner.handle_async_request(request)
        verdict = self.fault(len(self.writes), request)
        content = await request.aread()
        body = json.loads(content) if content else None
        self.writes.append((request.method, request.url.path, body))
        if verdict == "die before":
            raise Died
        if verdict == "before":
            raise httpx.ConnectError("refused", request=request)
        if isinstance(verdict, int):
            return httpx.Response(verdict, json={"message": "the test says no"}, request=request)
        response = await self._inner.handle_async_request(request)
        if verdict == "die after":
            await response.aread()
            raise Died
        if verdict == "after":
            await response.aread()
            raise httpx.ReadError("cut", request=request)
        if verdict == "slow":
            await response.aread()
            raise httpx.ReadTimeout("nothing came in time", request=request)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()
