"""A server that Kong reaches: a provider's, or one that takes log batches."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Self

from tests.kong_contract.target import Target

_LENGTH = re.compile(r"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEADERS = {
    "Date": "Sun, 22 Nov 2026 02:35:22 GMT", "Server": "contract", "Content-Length": "2", "Connection": "close",
}  # fmt: skip


class Listener:
    """Answers everything with 200, `ok` and `headers`, and remembers each request's head and body."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self.heads: list[str] = []
        self.headers: dict[str, str] = {}
        self.bodies: list[bytes] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self._target.binds, 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """As Kong reaches it."""
        return f"http://{self._target.reaches}:{self.port}/base"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = _LENGTH.search(head)
            body = await reader.readexactly(int(length.group(1))) if length else b""
            self.heads.append(head)
            self.bodies.append(body)
            sent = "".join(f"{name}: {value}\r\n" for name, value in {**_HEADERS, **self.headers}.items())
            writer.write(f"HTTP/1.1 200 OK\r\n{sent}\r\nok".encode())
            await writer.drain()
        writer.close()
