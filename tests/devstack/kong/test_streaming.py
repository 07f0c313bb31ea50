"""Bodies pass while they are still being written, both ways."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from .conftest import Kong
from .support import TinyServer, parse_reply


class SlowServer:
    """Sends one piece of its body each time it is allowed to; keeps what it was sent."""

    def __init__(self) -> None:
        self.allowed = asyncio.Semaphore(0)
        self.received = bytearray()
        self.arrived = asyncio.Event()
        self.break_off = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"PUT"):
            while len(self.received) < 3_000_000:
                self.received += await reader.read(65536)
                self.arrived.set()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            return
        length = b"Content-Length: 15\r\n" if b"/length" in head else b"Transfer-Encoding: chunked\r\n"
        writer.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n")
        for piece in (b"first", b"other", b"third"):
            await self.allowed.acquire()
            if self.break_off and piece == b"other":
                return
            writer.write(piece if b"/length" in head else b"5\r\n" + piece + b"\r\n")
        if b"/length" not in head:
            writer.write(b"0\r\n\r\n")


@pytest_asyncio.fixture
async def slow(kong: Kong) -> AsyncIterator[SlowServer]:
    server = SlowServer()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    await kong.route("slow", listening.sockets[0].getsockname()[1])
    yield server
    listening.close()


async def test_an_answer_arrives_piece_by_piece(kong: Kong, slow: SlowServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", kong.proxy_port)
    writer.write(b"GET /slow/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")  # before any piece was allowed out
        slow.allowed.release()
        first = await reader.readuntil(b"first\r\n")
        slow.allowed.release()
        second = await reader.readuntil(b"other\r\n")
        slow.allowed.release()
        rest = await reader.read()
    writer.close()
    assert parse_reply(head + first + second + rest).body == b"firstotherthird"


async def test_an_answer_that_breaks_off_is_broken_for_the_client_and_in_the_log(
    kong: Kong, slow: SlowServer, tmp_path: Path
) -> None:
    log = tmp_path / "file.log"
    await kong.plugin("/services/slow", "file-log", path=str(log))
    slow.break_off = True
    slow.allowed.release()
    slow.allowed.release()
    reader, writer = await asyncio.open_connection("127.0.0.1", kong.proxy_port)
    writer.write(b"GET /slow/length HTTP/1.1\r\nHost: a\r\n\r\n")
    async with asyncio.timeout(5):
        raw = await reader.read()
    writer.close()
    assert raw.endswith(b"\r\n\r\nfirst")
    assert json.loads(log.read_text())["upstream_status"] == "200"


async def test_a_large_upload_reaches_the_upstream_before_it_is_complete(
    kong: Kong, slow: SlowServer
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", kong.proxy_port)
    writer.write(b"PUT /slow/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3000000\r\n\r\n")
    writer.write(b"x" * 2_000_000)
    async with asyncio.timeout(5):
        await slow.arrived.wait()
        writer.write(b"x" * 1_000_000)
        assert parse_reply(await reader.read()).body == b"ok"
    writer.close()
    assert len(slow.received) == 3_000_000


async def test_a_small_chunked_upload_gets_a_length_and_a_large_one_stays_chunked(
    kong: Kong, upstream: TinyServer
) -> None:
    await kong.route("echo", upstream.port)

    async def upload(size: int) -> Any:
        reader, writer = await asyncio.open_connection("127.0.0.1", kong.proxy_port)
        writer.write(
            b"POST /echo/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(size // 1000):
            writer.write(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        writer.write(b"0\r\n\r\n")
        async with asyncio.timeout(10):
            await reader.read()
        writer.close()
        return upstream.seen[-1]

    small, large = await upload(10_000), await upload(2_000_000)
    assert (small.header("content-length"), len(small.body)) == ("10000", 10_000)
    assert (large.header("transfer-encoding"), len(large.body)) == ("chunked", 2_000_000)


async def test_a_request_can_be_passed_on_without_waiting_for_all_of_it(kong: Kong, slow: SlowServer) -> None:
    await kong.must("PATCH", "/routes/slow-r", {"request_buffering": False})
    reader, writer = await asyncio.open_connection("127.0.0.1", kong.proxy_port)
    writer.write(
        b"PUT /slow/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3000000\r\n\r\nfirst"
    )
    async with asyncio.timeout(5):
        await slow.arrived.wait()
        assert slow.received == b"first"
        writer.write(b"x" * 2_999_995)
        assert parse_reply(await reader.read()).body == b"ok"
    writer.close()


async def test_an_answer_before_the_end_of_an_upload_reaches_the_client(kong: Kong) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await writer.drain()
        await reader.read(10)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    await kong.route("early", listening.sockets[0].getsockname()[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", kong.proxy_port)
    writer.write(b"POST /early/x HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 100_000)
    async with asyncio.timeout(5):
        reply = parse_reply(await reader.read())
    assert (reply.status, reply.body) == (413, b"no")
    writer.close()
    listening.close()


async def test_a_head_request_gets_the_length_without_the_body(kong: Kong, upstream: TinyServer) -> None:
    await kong.route("echo", upstream.port)
    reader, writer = await asyncio.open_connection("127.0.0.1", kong.proxy_port)
    writer.write(
        b"HEAD /echo/x HTTP/1.1\r\nHost: a\r\n\r\nGET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    async with asyncio.timeout(5):
        raw = await reader.read()
    writer.close()
    first, _, rest = raw.partition(b"\r\n\r\n")
    assert b"Content-Length: " in first
    assert rest.startswith(b"HTTP/1.1 404")
