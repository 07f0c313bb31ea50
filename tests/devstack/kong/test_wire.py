"""Messages with one reading only."""

from __future__ import annotations

import asyncio

import pytest

from devstack.kong.wire import Body, Malformed, parse_request

from .conftest import Kong
from .support import TinyServer, send, send_raw

AMBIGUOUS = {
    "length and chunked": b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
    "a list of lengths": b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n",
    "a signed length": b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n",
    "chunked twice": b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
    "a hidden coding": b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x-chunked\r\n\r\n",
    "a space before the colon": b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\n",
    "a folded line": b"GET /echo HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n",
    "no host": b"GET /echo HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a bare carriage return": b"GET /echo HTTP/1.1\r\nHost: a\r\nX-A: b\rX-B: c\r\n\r\n",
}


@pytest.mark.parametrize("raw", AMBIGUOUS.values(), ids=list(AMBIGUOUS))
def test_an_ambiguous_head_is_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        parse_request(raw)


async def test_a_refused_message_never_reaches_the_upstream(kong: Kong, upstream: TinyServer) -> None:
    await kong.route("echo", upstream.port)
    for raw in AMBIGUOUS.values():
        reply = await send_raw(kong.proxy_port, raw + b"abc")
        assert reply.status in (400, 501)
        assert reply.header("connection") == "close"
    assert upstream.seen == []


async def read_chunked(raw: bytes) -> bytes:
    reader = asyncio.StreamReader()
    reader.feed_data(raw)
    reader.feed_eof()
    body = Body(reader, length=0, chunked=True)
    return b"".join([piece async for piece in body.pieces()])


async def test_chunks_are_joined_and_trailers_left_out() -> None:
    assert await read_chunked(b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n") == b"abcde"


@pytest.mark.parametrize("raw", [b"3\r\nabcd\r\n0\r\n\r\n", b"-3\r\nabc\r\n", b"0x3\r\nabc\r\n0\r\n\r\n"])
async def test_a_wrong_chunk_is_refused(raw: bytes) -> None:
    with pytest.raises(Malformed):
        await read_chunked(raw)


async def test_an_upgrade_is_refused_in_words(kong: Kong, upstream: TinyServer) -> None:
    await kong.route("echo", upstream.port)
    headers = {"Connection": "Upgrade, close", "Upgrade": "websocket"}
    reply = await send(kong.proxy_port, "GET", "/echo/ws", headers=headers)
    assert reply.status == 501
    assert "Upgrade" in reply.json()["message"]
    assert upstream.seen == []


async def test_fields_about_the_connection_stay_behind(kong: Kong, upstream: TinyServer) -> None:
    await kong.route("echo", upstream.port)
    headers = {
        "Connection": "close, X-Secret",
        "X-Secret": "1",
        "Keep-Alive": "timeout=5",
        "TE": "trailers, gzip",
    }
    await send(kong.proxy_port, "GET", "/echo/x", headers=headers)
    seen = upstream.seen[0]
    assert seen.header("x-secret") is None
    assert seen.header("keep-alive") is None
    assert seen.header("te") == "trailers"
    assert seen.header("connection") == "keep-alive"


async def test_many_requests_share_a_connection(kong: Kong, upstream: TinyServer) -> None:
    await kong.route("echo", upstream.port)
    reader, writer = await asyncio.open_connection("127.0.0.1", kong.proxy_port)
    for _ in range(3):
        writer.write(b"GET /echo/x HTTP/1.1\r\nHost: a\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        await reader.readexactly(int(length.split(b":")[1]))
    writer.close()
    assert len(upstream.seen) == 3
    assert upstream.connections == 1
