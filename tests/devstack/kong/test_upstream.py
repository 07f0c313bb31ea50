"""Connections to upstreams: over TLS, kept alive, gone stale, spread over targets."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .conftest import Kong
from .support import Seen, TinyServer, echo, send, serving


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A key and a certificate that nobody has signed, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    start = datetime(2020, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(start).not_valid_after(start + timedelta(days=36500))
    signed = builder.sign(key, hashes.SHA256())
    form = serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    path = tmp_path / "both.pem"
    path.write_bytes(pem + signed.public_bytes(serialization.Encoding.PEM))
    return path


async def test_an_upstream_over_tls_and_its_certificate_if_asked_for(kong: Kong, certificate: Path) -> None:
    server = TinyServer(echo)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listening = await asyncio.start_server(server._serve, "127.0.0.1", 0, ssl=context)
    port = listening.sockets[0].getsockname()[1]
    await kong.must("POST", "/services", {"name": "tls", "url": f"https://localhost:{port}"})
    await kong.must("POST", "/services/tls/routes", {"paths": ["/tls"]})
    assert (await kong.get("/tls/x")).status == 200
    await kong.must("PATCH", "/services/tls", {"tls_verify": True})
    assert (await kong.get("/tls/x")).status == 502
    listening.close()


@contextlib.asynccontextmanager
async def closing_after_each_answer() -> AsyncIterator[tuple[int, list[str]]]:
    """A server that promises to keep the connection and closes it all the same, a moment later."""
    lines: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append((await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n", 1)[0])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield listening.sockets[0].getsockname()[1], lines
    listening.close()


async def test_a_connection_that_the_upstream_closed_is_not_used_again(kong: Kong) -> None:
    async with closing_after_each_answer() as (port, lines):
        await kong.route("echo", port)
        for method in ("GET", "POST", "GET", "POST"):
            assert (await send(kong.proxy_port, method, "/echo/x")).status == 200
            await asyncio.sleep(0.03)
        assert len(lines) == 4


async def test_calls_are_spread_over_targets_by_their_weight(kong: Kong) -> None:
    counts: Counter[str] = Counter()

    def count(name: str) -> TinyServer:
        def respond(seen: Seen) -> tuple[int, bytes]:
            counts[name] += 1
            return echo(seen)

        return TinyServer(respond)

    async with serving(count("one")) as one, serving(count("two")) as two, serving(count("none")) as none:
        await kong.must("POST", "/upstreams", {"name": "pool"})
        for server, weight in ((one, 30), (two, 10), (none, 0)):
            target = {"target": f"127.0.0.1:{server.port}", "weight": weight}
            await kong.must("POST", "/upstreams/pool/targets", target)
        await kong.must("POST", "/services", {"name": "pooled", "host": "pool"})
        await kong.must("POST", "/services/pooled/routes", {"paths": ["/pooled"]})
        for _ in range(8):
            assert (await kong.get("/pooled/x")).status == 200
    assert counts == {"one": 6, "two": 2}


async def test_a_target_that_refuses_is_followed_by_the_next(kong: Kong, unused_tcp_port: int) -> None:
    async with serving(TinyServer(echo)) as up:
        await kong.must("POST", "/upstreams", {"name": "pool"})
        for port, weight in ((unused_tcp_port, 100), (up.port, 99)):
            target = {"target": f"127.0.0.1:{port}", "weight": weight}
            await kong.must("POST", "/upstreams/pool/targets", target)
        assert len((await kong.must("GET", "/upstreams/pool/targets/all"))["data"]) == 2
        await kong.must("POST", "/services", {"name": "pooled", "host": "pool", "retries": 1})
        await kong.must("POST", "/services/pooled/routes", {"paths": ["/pooled"]})
        assert (await send(kong.proxy_port, "POST", "/pooled/x", body="once")).status == 200
        assert [seen.body for seen in up.seen] == [b"once"]
        await kong.must("PATCH", "/services/pooled", {"retries": 0})
        assert {(await kong.get("/pooled/x")).status for _ in range(2)} == {200, 502}


@pytest.mark.parametrize(("method", "tries"), [("GET", 3), ("PUT", 3), ("POST", 1), ("PATCH", 1)])
async def test_what_an_upstream_may_have_done_is_repeated_only_where_that_is_safe(
    kong: Kong, method: str, tries: int
) -> None:
    """nginx' rule: a request that was sent is repeated when its method is idempotent, a refused connection always."""
    async with serving(TinyServer(lambda _: None)) as up:
        await kong.route("flaky", up.port)
        await kong.must("PATCH", "/services/flaky", {"retries": 2})
        assert (await send(kong.proxy_port, method, "/flaky/x", body="b")).status == 502
        assert len(up.seen) == tries


async def test_a_slow_answer_is_given_up_after_the_read_timeout(kong: Kong, upstream: TinyServer) -> None:
    await kong.route("echo", upstream.port)
    await kong.must("PATCH", "/services/echo", {"read_timeout": 100, "retries": 1})
    reply = await kong.get("/echo/slow")
    assert (reply.status, reply.json()["message"]) == (504, "The upstream server is timing out")
    assert len(upstream.seen) == 2


async def test_an_upstream_without_targets_is_unavailable(kong: Kong) -> None:
    await kong.must("POST", "/upstreams", {"name": "empty"})
    await kong.must("POST", "/services", {"name": "empty", "host": "empty"})
    await kong.must("POST", "/services/empty/routes", {"paths": ["/empty"]})
    reply = await kong.get("/empty/x")
    assert (reply.status, reply.json()["message"]) == (503, "failure to get a peer from the ring-balancer")


async def test_an_interim_answer_is_not_the_answer(kong: Kong) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        )
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    await kong.route("hints", listening.sockets[0].getsockname()[1])
    reply = await kong.get("/hints/x")
    assert (reply.status, reply.body, reply.header("link")) == (200, b"ok", None)
    listening.close()


async def test_an_ambiguous_answer_is_refused(kong: Kong) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    await kong.route("two", listening.sockets[0].getsockname()[1])
    assert (await kong.get("/two/x")).status == 502
    listening.close()
