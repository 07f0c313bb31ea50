"""A light transport beneath httpx: HTTP/1.1 on kept connections, parsed by httptools.

A first provisioning is tens of thousands of small writes, and httpx's own transport costs this process several times
the processor time that Kong needs for one of them (docs/decisions/0020).
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import httptools
import httpx

_CHUNK = 2**16


class Http1(httpx.AsyncBaseTransport):
    """At most `connections` at a time; every failure is an httpx.TransportError. Nothing is repeated.

    A request's "target" extension stands for the path and query of its URL, as with httpx's own transport.
    """

    def __init__(self, *, connections: int = 16) -> None:
        self._free = asyncio.Semaphore(connections)
        self._idle: dict[tuple[str, str, int | None], list[_Connection]] = {}
        self._tls: ssl.SSLContext | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The whole answer to `request`."""
        limits = request.extensions.get("timeout", {})
        body = await request.aread()
        async with self._free, self._connection(request.url, seconds=limits.get("connect")) as connection:
            return await connection.exchange(request, body, seconds=limits.get("read"))

    @asynccontextmanager
    async def _connection(self, url: httpx.URL, *, seconds: float | None) -> AsyncIterator[_Connection]:
        idle = self._idle.setdefault((url.scheme, url.host, url.port), [])
        connection = None
        while idle and connection is None:
            kept = idle.pop()
            if kept.ended:
                kept.close()
            else:
                connection = kept
        connection = connection or await self._open(url, seconds=seconds)
        try:
            yield connection
        finally:
            if connection.reusable:
                idle.append(connection)
            else:
                connection.close()

    async def _open(self, url: httpx.URL, *, seconds: float | None) -> _Connection:
        tls = url.scheme == "https"
        if tls and self._tls is None:
            self._tls = await asyncio.to_thread(httpx.create_ssl_context)
        port = url.port or (443 if tls else 80)
        try:
            async with asyncio.timeout(seconds):
                _, connection = await asyncio.get_running_loop().create_connection(
                    _Connection, url.host, port, ssl=self._tls if tls else None
                )
        except TimeoutError as error:
            raise httpx.ConnectTimeout(f"no connection within {seconds} s") from error
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error
        return connection

    async def aclose(self) -> None:
        """All connections that are not in use are closed."""
        for connection in (one for idle in self._idle.values() for one in idle):
            connection.close()
        self._idle.clear()


class _Connection(asyncio.Protocol):
    """One connection, and the answer that is being read from it. (By streams a call would cost half as much again.)"""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._wire: asyncio.Transport | None = None  # while it is open
        self._answer: _Answer | None = None
        self._complete: asyncio.Future[None] | None = None  # while somebody waits
        self._heard_at = 0.0
        self.reusable = False

    @property
    def ended(self) -> bool:
        """The other side has closed it, whether or not we had the time to hear of it."""
        if self._wire is None or self._wire.is_closing():
            return True
        poll = select.poll()
        poll.register(self._wire.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """It is not used any more."""
        if self._wire is not None:
            self._wire.close()

    async def exchange(self, request: httpx.Request, body: bytes, *, seconds: float | None) -> httpx.Response:
        """`request` was sent, and answered in full; `seconds` is the longest time without a byte."""
        self.reusable = False
        if self._wire is None:
            raise httpx.ReadError("the connection was closed")
        answer, complete = _Answer(), self._loop.create_future()
        self._answer, self._complete, self._heard_at = answer, complete, self._loop.time()
        waiting = self._loop.call_later(seconds, self._look, complete, seconds) if seconds else None
        head = b"".join([name + b": " + value + b"\r\n" for name, value in request.headers.raw])
        target: bytes = request.extensions.get("target", request.url.raw_path)
        start = b"%b %b HTTP/1.1\r\n" % (request.method.encode("ascii"), target)
        try:
            self._wire.write(start + head + b"\r\n" + body)
            await complete
        finally:
            self._complete = None
            if waiting is not None:
                waiting.cancel()
        self.reusable = answer.keeps_open
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=httpx.ByteStream(b"".join(answer.body)),
            request=request,
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        self._feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wire = None
        if exc is None:
            self._feed(b"")
        else:
            self._end(httpx.ReadError(str(exc)))

    def _feed(self, data: bytes) -> None:
        if self._answer is None or self._complete is None:
            self.close()  # nobody has asked
            return
        try:
            self._answer.feed(data)
        except httptools.HttpParserError as error:
            self._end(httpx.RemoteProtocolError(f"not HTTP/1.1: {error}"))
        except httpx.RemoteProtocolError as error:
            self._end(error)
        else:
            if self._answer.complete:
                self._end(None)

    def _end(self, error: httpx.TransportError | None) -> None:
        if self._complete is not None and not self._complete.done():
            if error is None:
                self._complete.set_result(None)
            else:
                self._complete.set_exception(error)

    def _look(self, complete: asyncio.Future[None], seconds: float) -> None:
        """Is it too long since the last byte?"""
        if complete.done():
            return
        left = self._heard_at + seconds - self._loop.time()
        if left > 0:
            self._loop.call_later(left, self._look, complete, seconds)
        else:
            self._end(httpx.ReadTimeout(f"nothing came within {seconds} s"))


class _Answer:
    """What httptools found so far."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.headers: list[tuple[bytes, bytes]] = []
        self.body: list[bytes] = []
        self.status, self.complete, self.keeps_open = 0, False, False

    def feed(self, data: bytes) -> None:
        """Some more bytes; none is the end of the connection."""
        if data:
            self._parser.feed_data(data)
        elif self.status and not any(
            n.lower() in {b"content-length", b"transfer-encoding"} for n, _ in self.headers
        ):
            self.complete = True  # of what names no length the end is the end
        else:
            raise httpx.RemoteProtocolError("the connection was closed before the end of the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        self.body.append(data)

    def on_message_complete(self) -> None:
        if self.status < 200:  # another answer follows
            self.headers, self.status = [], 0
            return
        self.complete, self.keeps_open = True, self._parser.should_keep_alive()
