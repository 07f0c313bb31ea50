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

import httptools
import httpx

_CHUNK = 2**16


class Http1(httpx.AsyncBaseTransport):
    """At most `connections` at a time; every failure is an httpx.TransportError. Nothing is repeated."""

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
        try:
            async with asyncio.timeout(seconds):
                return _Connection(
                    *await asyncio.open_connection(
                        url.host, url.port or (443 if tls else 80), ssl=self._tls if tls else None
                    )
                )
        except TimeoutError as error:
            raise httpx.ConnectTimeout(f"no connection within {seconds} s") from error
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error

    async def aclose(self) -> None:
        """All connections that are not in use are closed."""
        for connection in (one for idle in self._idle.values() for one in idle):
            connection.close()
        self._idle.clear()


class _Connection:
    """One connection, and the answer that is being read from it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.reusable = False

    @property
    def ended(self) -> bool:
        """The other side has closed it, whether or not we had the time to hear of it."""
        if self._reader.at_eof() or self._writer.is_closing():
            return True
        poll = select.poll()
        poll.register(self._writer.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def close(self) -> None:
        """It is not used any more."""
        self._writer.close()

    async def exchange(self, request: httpx.Request, body: bytes, *, seconds: float | None) -> httpx.Response:
        """`request` was sent, and answered in full; `seconds` is the longest time without a byte."""
        self.reusable = False
        answer = _Answer()
        head = b"".join((name + b": " + value + b"\r\n") for name, value in request.headers.raw)
        start = b"%b %b HTTP/1.1\r\n" % (request.method.encode("ascii"), request.url.raw_path)
        try:
            self._writer.write(start + head + b"\r\n" + body)
            while not answer.complete:
                async with asyncio.timeout(seconds):
                    await self._writer.drain()
                    received = await self._reader.read(_CHUNK)
                answer.feed(received)
        except TimeoutError as error:
            raise httpx.ReadTimeout(f"nothing came within {seconds} s") from error
        except OSError as error:
            raise httpx.ReadError(str(error)) from error
        except httptools.HttpParserError as error:
            raise httpx.RemoteProtocolError(f"not HTTP/1.1: {error}") from error
        self.reusable = answer.keeps_open
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=httpx.ByteStream(b"".join(answer.body)),
            request=request,
        )


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
