"""Whatever a client sends: it reaches the matched service only, as one request, and never speaks for the gateway."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from devstack.kong.gateway import Gateway, Options
from devstack.kong.wire import Malformed, parse_request

from .conftest import ENVIRONMENT, Kong
from .support import Reply, Seen, TinyServer, echo, parse_reply, serving

over_the_wire = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
SMUGGLED = "GET /echo/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


@dataclass
class Arena:
    """A double, the one upstream that requests may reach, and a server that nothing may reach."""

    kong: Kong
    upstream: TinyServer
    elsewhere: TinyServer

    async def send(self, raw: bytes) -> list[Reply]:
        """All answers to these bytes, after which the client is done sending."""
        self.upstream.seen.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.kong.proxy_port)
        writer.write(raw)
        writer.write_eof()
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        return list(split_replies(answer))


def split_replies(raw: bytes) -> list[Reply]:
    replies = []
    while raw:
        reply = parse_reply(raw)
        length = int(reply.header("content-length") or 0)
        replies.append(Reply(reply.status, reply.reason, reply.headers, reply.body[:length]))
        raw = reply.body[length:]
    return replies


@pytest_asyncio.fixture(scope="module")
async def arena(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Arena]:
    folder: Path = tmp_path_factory.mktemp("fuzz")
    gateway = Gateway(Options(folder, admin_port=0, proxy_port=0, flush_seconds=0.2), ENVIRONMENT)
    ports = await gateway.start()
    kong = Kong(ports["admin"], ports["proxy"], gateway)
    async with serving(TinyServer(echo)) as upstream, serving(TinyServer(echo)) as elsewhere:
        await kong.route("echo", upstream.port)
        await kong.route("kept", upstream.port, preserve_host=True)
        await kong.route("keyed", upstream.port)
        await kong.plugin("/services/keyed", "key-auth", hide_credentials=True)
        await kong.plugin("/services/keyed", "acl", allow=["gold"])
        await kong.must("POST", "/consumers", {"username": "alice", "custom_id": "id-alice"})
        await kong.must("POST", "/consumers/alice/key-auth", {"key": "alice"})
        await kong.must("POST", "/consumers/alice/acls", {"group": "gold"})
        yield Arena(kong, upstream, elsewhere)
    await gateway.stop()


def well_formed(seen: Seen) -> bool:
    """One request line, one framing, one Host, no control characters: a message with a single reading."""
    names = [name.lower() for name, _ in seen.headers]
    framings = names.count("content-length") + names.count("transfer-encoding")
    text = seen.line + "".join(name + value for name, value in seen.headers)
    clean = not any(ord(character) < 32 or ord(character) == 127 for character in text)
    return clean and framings <= 1 and names.count("host") == 1 and len(seen.line.split(" ")) == 3


# --- framing -------------------------------------------------------------------------------------------------
FRAMING = st.sampled_from(
    [
        "Content-Length: 0", "Content-Length: 5", "Content-Length: 5", "Content-Length: +5", "Content-Length: 5, 5",
        "Content-Length: 0x5", "Content-Length:5 ", "Content-Length : 5", " Content-Length: 5", "Content-Length: ",
        "Content-Length: 5\r\n ", "Content-Length: \u0665", "Content-Length: 99999999999999999999",
        "Transfer-Encoding: chunked", "Transfer-Encoding: chunked", "Transfer-Encoding:\tchunked",
        "Transfer-Encoding: Chunked", "Transfer-Encoding: identity", "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: x\r\n chunked", "Transfer-Encoding\x0b: chunked", "Transfer_Encoding: chunked",
        "Transfer-Encoding: \x00chunked", "X: y\nTransfer-Encoding: chunked", "X: y\rContent-Length: 5",
        "X: y\r\n\tz", "X: y\n\nGET /echo/smuggled HTTP/1.1", "Expect: 100-continue", "Upgrade: h2c", "X: y",
        "Host: b", "Connection: Content-Length", "Connection: Transfer-Encoding", "\x00: y", ": y", "X\x7f: y",
    ]
)  # fmt: skip
BODY = st.sampled_from(
    [
        "", "hello", "hell", "0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n", "5\nhello\r\n0\r\n\r\n", "5\r\nhelloX\r\n0\r\n\r\n",
        "0\r\nX: y\r\n\r\n", "0\r\nGET /echo/smuggled HTTP/1.1\r\n\r\n", "\x0b5\r\nhello\r\n0\r\n\r\n", "-5\r\nhello",
        "fffffffffffffffff\r\n", "5 \r\nhello\r\n0\r\n\r\n",
    ]
)  # fmt: skip
LINE = st.sampled_from(
    [
        "POST /echo/x HTTP/1.1", "GET /echo/x HTTP/1.1", "POST /echo/x HTTP/1.0", "POST /echo/x HTTP/1.1 ",
        "POST  /echo/x HTTP/1.1", "POST /echo/x\tHTTP/1.1", "POST /echo/x HTTP/1.2", "POST /echo/x",
        "P\x00ST /echo/x HTTP/1.1", "POST /echo/\x7fx HTTP/1.1",
    ]
)  # fmt: skip


@over_the_wire
@given(line=LINE, fields=st.lists(FRAMING, max_size=3), body=BODY)
@example("POST /echo/x HTTP/1.1", ["Content-Length: 5", "Transfer-Encoding: chunked"], "0\r\n\r\n")
@example("POST /echo/x HTTP/1.1", ["Transfer-Encoding: chunked"], "5;a\nb\r\nhello\r\n0\r\n\r\n")
async def test_one_request_is_never_two(arena: Arena, line: str, fields: list[str], body: str) -> None:
    head = "\r\n".join([line, "Host: a", "Connection: close", *fields])
    replies = await arena.send((head + "\r\n\r\n" + body + SMUGGLED).encode("utf-8"))
    seen = arena.upstream.seen
    assert len(seen) <= 1
    assert len([reply for reply in replies if reply.status >= 200]) <= 1
    assert all(well_formed(one) and one.line == f"{line[:4].strip()} /x HTTP/1.1" for one in seen)


CHUNK_SIZES = st.lists(st.integers(1, 40), max_size=4)
PAYLOAD = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([SMUGGLED.encode(), b"0\r\n\r\n" + SMUGGLED.encode(), b"\r\n\r\n", b"5\r\nhello"]),
)


def encoded(payload: bytes, sizes: list[int], *, chunked: bool) -> bytes:
    head = b"POST /echo/x HTTP/1.1\r\nHost: a\r\n"
    if not chunked:
        return head + b"Content-Length: %d\r\n\r\n" % len(payload) + payload
    body, rest = b"", payload
    for size in [*sizes, len(payload)]:
        piece, rest = rest[:size], rest[size:]
        body += b'%x;ext="1"\r\n%b\r\n' % (len(piece), piece) if piece else b""
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + body + b"0\r\nX-Trailer: 1\r\n\r\n"


@over_the_wire
@given(messages=st.lists(st.tuples(PAYLOAD, CHUNK_SIZES, st.booleans()), min_size=1, max_size=3))
async def test_bodies_arrive_as_they_were_sent_whatever_they_look_like(
    arena: Arena, messages: list[tuple[bytes, list[int], bool]]
) -> None:
    raw = b"".join(encoded(payload, sizes, chunked=chunked) for payload, sizes, chunked in messages)
    replies = await arena.send(raw)
    assert [reply.status for reply in replies] == [200] * len(messages)
    assert [seen.body for seen in arena.upstream.seen] == [payload for payload, _, _ in messages]
    assert all(well_formed(seen) for seen in arena.upstream.seen)


@given(
    st.binary(max_size=80)
    | st.tuples(LINE, st.lists(FRAMING)).map(lambda p: "\r\n".join([p[0], "Host: a", *p[1]]).encode())
)
@example(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked")
@example(b"POST /x HTTP/1.1\r\nHost: a\r\nX: y\nContent-Length: 5")
def test_a_head_has_one_reading_or_none(head: bytes) -> None:
    with contextlib.suppress(Malformed):
        parsed = parse_request(head + b"\r\n\r\n")
        again = (
            f"{parsed.method} {parsed.target} {parsed.version}\r\n".encode("latin-1")
            + parsed.headers.encode()
        )
        assert list(parse_request(again + b"\r\n").headers) == list(parsed.headers)
        assert (
            again.count(b"\r\n") == again.count(b"\r") == again.count(b"\n") == len(list(parsed.headers)) + 1
        )
        assert not {"content-length", "transfer-encoding"} <= {name.lower() for name, _ in parsed.headers}


async def test_a_head_without_end_is_cut_off(arena: Arena) -> None:
    replies = await arena.send(b"GET /echo/x HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 300_000 + b"\r\n\r\n")
    assert [reply.status for reply in replies] == [400]
    assert arena.upstream.seen == []


# --- where a request goes ------------------------------------------------------------------------------------
OTHER = st.sampled_from(
    [
        "http://{e}/echo/x", "http://{e}", "//{e}/echo/x", "/echo//{e}/x", "/echo/../../{e}", "/echo@{e}/x", "{e}",
        "http://a@{e}/echo/x", "http://{e}@a/echo/x", "http://a#@{e}/echo/x", "http:\\\\{e}/echo", "/echo/%2f%2f{e}",
        "ftp://{e}/echo/x", "*", "/echo/http://{e}/", "/echo?url=http://{e}/", "/echo/x#http://{e}/", "/echo/\\{e}",
        "http:///echo/x", "http://a:b@{e}:80/echo/x", "/echo%00@{e}/", "/echo/%0d%0aHost:%20{e}", "?@{e}", "/kept/x",
        "/kept/..//{e}",
    ]
)  # fmt: skip
HOSTS = st.sampled_from(
    [
        "a",
        "{e}",
        "a:80",
        "{e}:80",
        "a@{e}",
        "a, {e}",
        "a/{e}",
        "a#{e}",
        "a {e}",
        "[::1]",
        "[{e}]",
        "",
        "a\t{e}",
        "\\{e}",
        "127.0.0.1",
    ]
)


@over_the_wire
@given(method=st.sampled_from(["GET", "POST", "OPTIONS", "CONNECT", "HEAD"]), target=OTHER, host=HOSTS)
async def test_no_request_reaches_another_host_than_the_services(
    arena: Arena, method: str, target: str, host: str
) -> None:
    named = f"127.0.0.1:{arena.elsewhere.port}"
    line = f"{method} {target.format(e=named)} HTTP/1.1"
    extra = "".join(
        f"\r\n{name}: {named}" for name in ("X-Forwarded-Host", "X-Original-URL", "X-Host", "Forwarded")
    )
    raw = f"{line}\r\nHost: {host.format(e=named)}\r\nConnection: close{extra}\r\n\r\n"
    replies = await arena.send(raw.encode("latin-1"))
    assert replies[0].status in (200, 400, 404, 405)
    assert arena.elsewhere.connections == 0
    for seen in arena.upstream.seen:
        assert well_formed(seen)
        assert seen.line.split(" ")[1].startswith("/")
        if not target.startswith("/kept"):
            assert seen.header("host") == f"127.0.0.1:{arena.upstream.port}"


# --- what a request may claim --------------------------------------------------------------------------------
OWN = (
    "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Path", "X-Forwarded-Prefix", "X-Real-IP",
    "X-Kong-Request-Id", "X-Consumer-ID", "X-Consumer-Username", "X-Consumer-Custom-ID", "X-Consumer-Groups",
    "X-Credential-Identifier", "X-Anonymous-Consumer", "Via",
)  # fmt: skip
CASES = st.sampled_from([str, str.lower, str.upper, str.title])


@over_the_wire
@given(claims=st.lists(st.tuples(st.sampled_from(OWN), CASES), min_size=1, max_size=6))
async def test_what_the_gateway_says_is_never_what_the_client_said(
    arena: Arena, claims: list[tuple[str, type[str]]]
) -> None:
    fields = "".join(f"{change(name)}: forged\r\n" for name, change in claims)
    raw = f"GET /keyed/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\napikey: alice\r\n{fields}\r\n"
    assert [reply.status for reply in await arena.send(raw.encode())] == [200]
    (seen,) = arena.upstream.seen
    for name in OWN:
        values = [value for held, value in seen.headers if held.lower() == name.lower()]
        assert len(values) == (0 if name == "X-Anonymous-Consumer" else 1), name
        assert name == "Via" or "forged" not in values
    assert seen.header("x-forwarded-host") == "a"
    assert seen.header("x-consumer-username") == "alice"
    assert seen.header("x-consumer-groups") == "gold"


async def test_addresses_that_a_client_claims_stand_before_its_own(arena: Arena) -> None:
    await arena.send(
        b"GET /echo/x HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\n\r\n"
    )
    (seen,) = arena.upstream.seen
    assert [value for name, value in seen.headers if name.lower() == "x-forwarded-for"] == [
        "10.0.0.1, 10.0.0.2, 127.0.0.1"
    ]
    assert seen.header("x-real-ip") == "127.0.0.1"


NAMES = st.text("abXY09_-", min_size=1, max_size=6).map("X-T{}".format)


@over_the_wire
@given(
    named=st.lists(NAMES, max_size=4),
    sent=st.lists(NAMES, max_size=5),
    glue=st.sampled_from([",", ", ", " ,\t", ",,"]),
    again=st.booleans(),
)
async def test_fields_named_in_connection_stay_behind_and_others_pass(
    arena: Arena, named: list[str], sent: list[str], glue: str, *, again: bool
) -> None:
    tokens = glue.join([*named, "close"])
    fields = "".join(f"{name}: 1\r\n" for name in sent + named)
    second = f"Connection: {sent[0].upper()}\r\n" if again and sent else ""
    raw = f"GET /echo/x HTTP/1.1\r\nHost: a\r\nConnection: {tokens}\r\n{second}{fields}\r\n"
    await arena.send(raw.encode())
    (seen,) = arena.upstream.seen
    dropped = {name.lower() for name in [*named, *(sent[:1] if second else [])]}
    arrived = {name.lower() for name, _ in seen.headers}
    assert not dropped & arrived
    assert {name.lower() for name in sent} - dropped <= arrived
    assert seen.header("connection") == "keep-alive"
    assert seen.header("host") == f"127.0.0.1:{arena.upstream.port}"


# --- what plugins make of a request --------------------------------------------------------------------------
async def test_what_a_template_or_lua_makes_stays_inside_its_line(kong: Kong, upstream: TinyServer) -> None:
    await kong.route("echo", upstream.port)
    config = {
        "add": {"headers": ["X-Id:$(query_params.id)"]},
        "replace": {"uri": "/to/$(query_params.id)"},
    }
    await kong.plugin("/services/echo", "request-transformer", **config)
    lua = 'kong.service.request.set_header("X-Lua", "a\\r\\nX-Evil: 1")'
    lua += ' kong.response.set_header("X-Out", "a\\nX-Evil: 1")'
    await kong.plugin("/services/echo", "pre-function", access=[lua])
    reply = await kong.get("/echo/x?id=1%20HTTP/1.1%0d%0aX-Evil:%201")
    (seen,) = upstream.seen
    assert well_formed(seen)
    assert seen.header("x-evil") is None
    assert seen.header("x-id") == "1 HTTP/1.1%0D%0AX-Evil: 1"
    assert seen.header("x-lua") == "a%0D%0AX-Evil: 1"
    assert (reply.header("x-out"), reply.header("x-evil")) == ("a%0AX-Evil: 1", None)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\nX-Evil: 1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\rX-Evil: 1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: y\r\n X-Evil: 1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: y\nX-Evil: 1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_an_upstream_cannot_split_its_answer(kong: Kong, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    await kong.route("split", listening.sockets[0].getsockname()[1])
    reply = await kong.get("/split/x")
    assert (reply.status, reply.header("x-evil")) == (502, None)
    listening.close()
