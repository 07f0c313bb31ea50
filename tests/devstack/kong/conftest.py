"""A gateway double in this process, an upstream, and a collector of logs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from devstack.kong.gateway import Gateway, Options

from .support import Reply, TinyServer, echo, send, serving

ENVIRONMENT = {
    "KONG_UNTRUSTED_LUA_SANDBOX_REQUIRES": "resty.sha256,resty.string,resty.openssl.hmac,cjson.safe",
    "INGEST_TOKEN": "ingest-secret",
    "UPSTREAM_MASTER": "master-secret",
}


@dataclass
class Kong:
    """A running double and how to talk to it."""

    admin_port: int
    proxy_port: int
    gateway: Gateway

    async def admin(self, method: str, path: str, body: Any = None) -> Reply:
        raw = b"" if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if raw else {}
        return await send(self.admin_port, method, path, headers=headers, body=raw)

    async def must(self, method: str, path: str, body: Any = None) -> Any:
        """The parsed answer to a call that has to succeed."""
        reply = await self.admin(method, path, body)
        assert reply.status < 300, reply.body
        return reply.json() if reply.body else None

    async def get(self, target: str, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await send(self.proxy_port, "GET", target, headers=named)

    async def route(self, name: str, upstream: int, **route: Any) -> dict[str, Any]:
        """A service and a route to it at `/name`."""
        url = f"http://127.0.0.1:{upstream}"
        service = await self.must("POST", "/services", {"name": name, "url": url})
        await self.must(
            "POST", f"/services/{name}/routes", {"name": f"{name}-r", "paths": [f"/{name}"]} | route
        )
        return dict(service)

    async def plugin(self, where: str, name: str, **config: Any) -> Any:
        return await self.must("POST", f"{where}/plugins", {"name": name, "config": config})


@pytest_asyncio.fixture
async def kong(tmp_path: Path) -> AsyncIterator[Kong]:
    options = Options(tmp_path / "kong", admin_port=0, proxy_port=0, flush_seconds=0.2)
    gateway = Gateway(options, ENVIRONMENT)
    ports = await gateway.start()
    yield Kong(ports["admin"], ports["proxy"], gateway)
    await gateway.stop()


@pytest_asyncio.fixture
async def upstream() -> AsyncIterator[TinyServer]:
    async with serving(TinyServer(echo)) as server:
        yield server


@pytest_asyncio.fixture
async def sink() -> AsyncIterator[TinyServer]:
    """Takes every batch."""
    async with serving(TinyServer(lambda _: (200, b""))) as server:
        yield server


@pytest.fixture
def entries(sink: TinyServer) -> Any:
    """The log entries that arrived so far, unpacked from their batches."""

    def read() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for seen in sink.seen:
            parsed = json.loads(seen.body)
            found += parsed if isinstance(parsed, list) else [parsed]
        return found

    return read
