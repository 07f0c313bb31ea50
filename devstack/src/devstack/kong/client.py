"""The gateway as a client: pooled keep-alive connections and one exchange at a time on each."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import cache

from devstack.kong.headers import Headers
from devstack.kong.wire import (
    LAST_CHUNK,
    MAX_HEAD,
    Body,
    Closed,
    Malformed,
    ResponseHead,
    frame_chunk,
    parse_response,
    read_head,
)

IDLE_SECONDS = 60.0
IDLE_PER_ADDRESS = 60
NAMES_SECONDS = 5.0


class UpstreamError(Exception):
    """No answer came. `sent` tells whether the upstream may have seen the request."""

    def __init__(self, status: int, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.status = status
        self.sent = sent


class NameUnknown(UpstreamError):
    def __init__(self, host: str) -> None:
        super().__init__(503, f"name resolution failed: {host}", sent=False)


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect; `ip` is filled in once the name is resolved."""

    host: str
    port: int
    tls: bool = False
    verify: bool = False
    ip: str = ""


@dataclass(slots=True)
class Connection:
    address: Address
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    fresh: bool = True
    idle_since: float = field(default=0.0)

    @property
    def usable(self) -> bool:
        old = time.monotonic() - self.idle_since > IDLE_SECONDS
        return not (old or self.reader.at_eof() or self.writer.is_closing() or self.reader.exception())

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.writer.close()


class Pool:
    """Idle connections by address, and names resolved a moment ago."""

    def __init__(self) -> None:
        self._idle: dict[Address, deque[Connection]] = {}
        self._names: dict[str, tuple[float, str]] = {}

    async def resolve(self, address: Address) -> Address:
        """The address with its IP. Raises NameUnknown."""
        known = self._names.get(address.host)
        if known is None or known[0] < time.monotonic():
            try:
                found = await asyncio.get_running_loop().getaddrinfo(
                    address.host, address.port, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM
                )
            except OSError as error:
                raise NameUnknown(address.host) from error
            preferred = next((item for item in found if item[0] == socket.AF_INET), found[0])
            known = (time.monotonic() + NAMES_SECONDS, str(preferred[4][0]))
            self._names[address.host] = known
        return Address(address.host, address.port, address.tls, address.verify, known[1])

    async def connect(self, address: Address, timeout: float, *, fresh: bool = False) -> Connection:
        """An idle connection if there is a good one, else a new one."""
        idle = self._idle.get(address)
        while idle and not fresh:
            connection = idle.pop()
            if connection.usable:
                connection.fresh = False
                return connection
            connection.close()
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await asyncio.open_connection(
                    address.ip or address.host,
                    address.port,
                    limit=MAX_HEAD,
                    ssl=_tls(verify=address.verify) if address.tls else None,
                    server_hostname=address.host if address.tls else None,
                )
        except TimeoutError as error:
            raise UpstreamError(504, "connect timeout", sent=False) from error
        except OSError as error:
            raise UpstreamError(502, f"connect failed: {error}", sent=False) from error
        plain = writer.get_extra_info("socket")
        if plain is not None:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Connection(address, reader, writer)

    def release(self, connection: Connection) -> None:
        """Keep a connection whose last answer was read to its end."""
        idle = self._idle.setdefault(connection.address, deque())
        if len(idle) >= IDLE_PER_ADDRESS or connection.writer.is_closing():
            connection.close()
            return
        connection.idle_since = time.monotonic()
        idle.append(connection)

    def close(self) -> None:
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()


@cache
def _tls(*, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to connect, between two writes, between two reads."""

    connect: float = 60.0
    write: float = 60.0
    read: float = 60.0


@dataclass(slots=True)
class Response:
    head: ResponseHead
    body: Body
    connection: Connection
    pool: Pool
    read_timeout: float
    sender: asyncio.Task[None] | None = None

    async def pieces(self) -> AsyncIterator[tuple[bytes, bool]]:
        """The body piece by piece, each with whether it is the last. Raises UpstreamError when it breaks off."""
        while not self.body.finished:
            try:
                async with asyncio.timeout(self.read_timeout):
                    piece = await self.body.read()
            except (Closed, Malformed, OSError, TimeoutError) as error:
                self.connection.close()
                raise UpstreamError(502, f"the body broke off: {error!r}", sent=True) from error
            if piece or not self.body.finished:
                yield piece, self.body.finished

    def end(self) -> None:
        """Give the connection back, or close it when it cannot serve again."""
        busy = self.sender is not None and not self.sender.done()
        if self.sender is not None and (busy or self.sender.exception() is not None):
            self.sender.cancel()
        closes = self.body.length is None and not self.body.chunked and self.body.received > 0
        if self.body.finished and self.head.keep_alive and not busy and not closes:
            self.pool.release(self.connection)
        else:
            self.connection.close()


async def call(
    pool: Pool,
    connection: Connection,
    method: str,
    head: bytes,
    *,
    body: Body | bytes | None,
    timeouts: Timeouts,
) -> Response:
    """Send one request and read the head of its answer. Raises UpstreamError."""
    sender: asyncio.Task[None] | None = None
    writer = connection.writer
    try:
        if isinstance(body, Body):
            writer.write(head)
            sender = asyncio.create_task(_send_body(writer, body, timeouts.write))
        else:
            writer.write(head + (body or b""))
            if body:
                async with asyncio.timeout(timeouts.write):
                    await writer.drain()
        answer = await _read_answer(connection, timeouts.read, sender)
    except (ClientGone, UpstreamError, asyncio.CancelledError):
        connection.close()
        raise
    except TimeoutError as error:
        connection.close()
        raise UpstreamError(504, "timeout", sent=True) from error
    except (Closed, Malformed, OSError) as error:
        connection.close()
        raise UpstreamError(502, f"no valid answer: {error!r}", sent=True) from error
    finally:
        if sender is not None and connection.writer.is_closing():
            sender.cancel()
    received = Body.of_response(answer, method, connection.reader)
    return Response(answer, received, connection, pool, timeouts.read, sender)


class ClientGone(Exception):
    """The client broke off while its body was being passed on."""


async def _send_body(writer: asyncio.StreamWriter, body: Body, timeout: float) -> None:
    chunked = body.chunked
    while True:
        try:
            piece = await body.read()
        except (Closed, Malformed, OSError) as error:
            raise ClientGone from error
        if not piece:
            break
        try:
            writer.write(frame_chunk(piece) if chunked else piece)
            async with asyncio.timeout(timeout):
                await writer.drain()
        except TimeoutError as error:
            raise UpstreamError(504, "the upstream does not read", sent=True) from error
        except OSError:
            return  # the upstream stopped reading; what it answers counts
    if chunked:
        writer.write(LAST_CHUNK)


async def _read_answer(
    connection: Connection, timeout: float, sender: asyncio.Task[None] | None
) -> ResponseHead:
    """The final head (1xx are read and dropped). The read timeout starts once the request is out."""
    if sender is not None:
        reading = asyncio.ensure_future(_final_head(connection))
        try:
            await asyncio.wait([sender, reading], return_when=asyncio.FIRST_COMPLETED)
            if sender.done() and sender.exception() is not None:
                raise sender.exception() or ClientGone
            async with asyncio.timeout(timeout):
                return await reading
        finally:
            reading.cancel()
    async with asyncio.timeout(timeout):
        return await _final_head(connection)


async def _final_head(connection: Connection) -> ResponseHead:
    while True:
        head = parse_response(await read_head(connection.reader))
        if head.status >= 200:
            return head


async def fetch(
    pool: Pool, address: Address, method: str, target: str, *, headers: Headers, payload: bytes
) -> tuple[int, bytes]:
    """One small request and its whole answer; a connection that went stale is replaced once."""
    headers.set("Content-Length", str(len(payload)))
    head = f"{method} {target} HTTP/1.1\r\n".encode() + headers.encode() + b"\r\n"
    resolved = await pool.resolve(address)
    connection = await pool.connect(resolved, 60)
    try:
        response = await call(pool, connection, method, head, body=payload, timeouts=Timeouts())
    except UpstreamError:
        if connection.fresh:
            raise
        connection = await pool.connect(resolved, 60, fresh=True)
        response = await call(pool, connection, method, head, body=payload, timeouts=Timeouts())
    try:
        body = b"".join([piece async for piece, _ in response.pieces()])
    finally:
        response.end()
    return response.head.status, body
