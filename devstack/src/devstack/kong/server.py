"""A small HTTP/1.1 server on asyncio streams, used by the proxy and by the Admin API alike."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import traceback
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Protocol

from devstack.kong.headers import Headers
from devstack.kong.wire import (
    CLIENT_SECONDS,
    LAST_CHUNK,
    MAX_HEAD,
    Body,
    Closed,
    Malformed,
    RequestHead,
    frame_chunk,
    parse_request,
    read_head,
)

IDLE_SECONDS = 75.0
LINGER_SECONDS = 2.0  # how long a client may go on sending what nobody will read
# nginx's own wording, where it differs from the registry's.
REASONS = {code.value: code.phrase for code in HTTPStatus} | {
    405: "Not Allowed",
    413: "Request Entity Too Large",
    414: "Request-URI Too Large",
    416: "Requested Range Not Satisfiable",
    418: "",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}


@dataclass(slots=True)
class Request:
    """One request as it came in."""

    head: RequestHead
    body: Body
    client_ip: str
    client_port: int
    server_port: int


class Handler(Protocol):
    """What is served. `refuse` answers a message that was not even a request."""

    async def handle(self, request: Request, answer: Answer) -> None: ...

    async def refuse(self, client_ip: str, problem: Malformed, answer: Answer) -> None: ...


@dataclass(slots=True)
class Answer:
    """The response to one request: head, then body pieces, then `finish`."""

    writer: asyncio.StreamWriter
    method: str = "GET"
    version: str = "HTTP/1.1"
    keep_alive: bool = False
    started: bool = False
    finished: bool = False
    sent: int = 0
    body_sent: int = 0
    broken: bool = False
    _chunked: bool = field(default=False)
    _bodiless: bool = field(default=False)

    def head(self, status: int, headers: Headers, *, reason: str | None = None) -> bytes:
        """The head as bytes; from here on the framing is decided. A missing Date goes out but not into `headers`."""
        self.started = True
        self._bodiless = self.method == "HEAD" or status in (204, 304)
        headers.remove("transfer-encoding")
        if not self._bodiless and "content-length" not in headers:
            if self.version == "HTTP/1.1":
                self._chunked = True
                headers.add("Transfer-Encoding", "chunked")
            else:
                self.keep_alive = False
        headers.set("Connection", "keep-alive" if self.keep_alive else "close")
        phrase = REASONS.get(status, "") if reason is None else reason
        date = "" if "date" in headers else f"Date: {http_date()}\r\n"
        return (
            f"HTTP/1.1 {status} {phrase}\r\n{date}".encode("latin-1", "replace") + headers.encode() + b"\r\n"
        )

    def frame(self, data: bytes) -> bytes:
        """`data` as it must stand on the wire after `head`."""
        if self._bodiless or not data:
            return b""
        self.body_sent += len(data)
        return frame_chunk(data) if self._chunked else data

    def ending(self) -> bytes:
        return LAST_CHUNK if self._chunked and not self._bodiless else b""

    async def write(self, data: bytes, *, last: bool = False) -> None:
        """Hand bytes to the connection. A client that has gone makes the answer `broken`, nothing else."""
        self.finished = self.finished or last
        if self.broken or not data:
            return
        try:
            self.writer.write(data)
            self.sent += len(data)
            async with asyncio.timeout(CLIENT_SECONDS):
                await self.writer.drain()
        except (OSError, TimeoutError):
            self.broken = True

    async def send(
        self, status: int, headers: Headers, body: bytes = b"", *, reason: str | None = None
    ) -> None:
        """A whole answer in one write."""
        if status not in (204, 304):
            headers.set("Content-Length", str(len(body)))
        await self.write(self.head(status, headers, reason=reason) + self.frame(body), last=True)


class HttpServer:
    """Listens on loopback; connections are kept alive."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._busy: set[asyncio.Task[None]] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self.accepted = 0
        self.requests = 0

    async def start(self, port: int) -> int:
        """The port listened on (another than asked for only when asked for 0)."""
        self._server = await asyncio.start_server(
            self._connection, "127.0.0.1", port, limit=MAX_HEAD, backlog=1024, reuse_address=True
        )
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self, grace_seconds: float) -> None:
        """No new connections; requests in flight get `grace_seconds` to end."""
        if self._server is None:
            return
        self._server.close()
        if self._busy:
            await asyncio.wait(self._busy, timeout=grace_seconds)
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    @property
    def active(self) -> int:
        return len(self._connections)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            return
        self._connections.add(task)
        self.accepted += 1
        connection = writer.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while await self._exchange(reader, writer, task):
                pass
            await _linger(reader, writer)
        except (ConnectionError, asyncio.CancelledError, Closed):
            pass  # shutting down, or the client left
        finally:
            self._connections.discard(task)
            with contextlib.suppress(Exception):
                writer.close()

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, task: asyncio.Task[None]
    ) -> bool:
        """One request and its answer; whether another may follow on this connection."""
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                raw = await read_head(reader)
        except (TimeoutError, Closed):
            return False
        except Malformed as problem:
            await self._handler.refuse(writer.get_extra_info("peername")[0], problem, Answer(writer))
            return False
        self.requests += 1
        self._busy.add(task)
        try:
            return await self._answer(raw, reader, writer)
        finally:
            self._busy.discard(task)

    async def _answer(self, raw: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        peer, local = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
        try:
            head = parse_request(raw)
        except Malformed as problem:
            await self._handler.refuse(peer[0], problem, Answer(writer))
            return False
        if (head.headers.get("expect") or "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        answer = Answer(writer, head.method, head.version, keep_alive=head.keep_alive and self._serving)
        request = Request(head, Body.of_request(head, reader), peer[0], peer[1], local[1])
        try:
            await self._handler.handle(request, answer)
        except Malformed as problem:  # inside the body
            if not answer.started:
                await self._handler.refuse(peer[0], problem, answer)
            return False
        except (Closed, ConnectionError, TimeoutError):
            return False
        except Exception:
            traceback.print_exc(file=sys.stderr)
            return False
        usable = answer.finished and answer.keep_alive and not answer.broken
        return usable and await _drained(request.body)

    @property
    def _serving(self) -> bool:
        return self._server is not None and self._server.is_serving()


async def _linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closing over unread bytes would reset the connection, and the client could lose its answer."""
    if reader.at_eof() or writer.is_closing():
        return
    with contextlib.suppress(OSError, TimeoutError, RuntimeError):
        writer.write_eof()
        async with asyncio.timeout(LINGER_SECONDS):
            while await reader.read(1 << 16):
                pass


async def _drained(body: Body, *, limit: int = 1 << 20) -> bool:
    """Whether the rest of an unread request body is out of the way."""
    try:
        async with asyncio.timeout(5):
            while not body.finished and limit > 0:
                limit -= len(await body.read())
    except (Malformed, Closed, TimeoutError, ConnectionError):
        return False
    return body.finished


def http_date() -> str:
    return formatdate(usegmt=True)
