"""A raw HTTP client, an echoing upstream and a collector of log batches: all that a gateway meets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Reply:
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def json(self) -> Any:
        return json.loads(self.body)


def parse_reply(raw: bytes) -> Reply:
    """A whole answer, as read until the connection closed."""
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    _, status, reason = lines[0].split(" ", 2)
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines[1:])]
    if any(name.lower() == "transfer-encoding" for name, _ in headers):
        body = _dechunk(body)
    return Reply(int(status), reason, headers, body)


def _dechunk(raw: bytes) -> bytes:
    out = b""
    while raw:
        size, _, raw = raw.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            return out
        out, raw = out + raw[:length], raw[length + 2 :]
    raise AssertionError("the last chunk is missing")


async def send_raw(port: int, raw: bytes) -> Reply:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    return parse_reply(answer)


async def send(
    port: int, method: str, target: str, *, headers: dict[str, str] | None = None, body: bytes | str = b""
) -> Reply:
    body = body.encode() if isinstance(body, str) else body
    fields = {"Host": f"127.0.0.1:{port}", "Accept": "*/*", "Connection": "close"} | (headers or {})
    if body:
        fields["Content-Length"] = str(len(body))
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in fields.items()
    )
    return await send_raw(port, head.encode("latin-1") + b"\r\n" + body)


@dataclass
class Seen:
    """A request as a server of this module got it."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


Respond = Callable[[Seen], "tuple[int, bytes] | None"]


@dataclass
class TinyServer:
    """Answers by `respond`; None closes the connection without an answer."""

    respond: Respond
    server_name: str = "echo-upstream"
    seen: list[Seen] = field(default_factory=list)
    port: int = 0
    connections: int = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            await self._answer_all(reader, writer)
        writer.close()

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen = await _read_request(reader)
            self.seen.append(seen)
            if "/slow" in seen.line:
                await asyncio.sleep(3)
            answer = self.respond(seen)
            if answer is None:
                return
            status, body = answer
            head = (
                f"HTTP/1.1 {status} {_REASONS.get(status, 'OK')}\r\nServer: {self.server_name}\r\n"
                f"Date: Sun, 22 Nov 2026 02:35:22 GMT\r\nX-Upstream: echo\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + (b"" if seen.line.startswith("HEAD") else body))
            await writer.drain()


_REASONS = {200: "OK", 500: "Internal Server Error", 503: "Service Unavailable"}


async def _read_request(reader: asyncio.StreamReader) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *rest = head[:-4].split("\r\n")
    headers = [(name, value) for name, _, value in (item.partition(": ") for item in rest)]
    seen = Seen(line, headers, b"")
    if (seen.header("transfer-encoding") or "") == "chunked":
        raw = b""
        while not raw.endswith(b"0\r\n\r\n"):
            raw += await reader.read(65536)
        seen.body = _dechunk(raw)
    else:
        seen.body = await reader.readexactly(int(seen.header("content-length") or 0))
    return seen


@contextlib.asynccontextmanager
async def serving(server: TinyServer, port: int = 0) -> AsyncIterator[TinyServer]:
    listening = await asyncio.start_server(server._serve, "127.0.0.1", port)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


def echo(seen: Seen) -> tuple[int, bytes]:
    """The recordings' upstream: says what it received."""
    path = seen.line.split(" ")[1]
    status = int(path.split("/status/")[1][:3]) if "/status/" in path else 200
    received = {"line": seen.line, "headers": seen.headers, "body": seen.body.decode("latin-1")}
    return status, json.dumps({"upstream_received": received}).encode() + b"\n"


async def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Returns once the condition holds; fails after `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
