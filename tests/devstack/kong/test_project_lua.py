"""The project's own Lua, in the gateway double: keys hashed before key-auth, errors as problem details."""

from __future__ import annotations

import binascii
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from .conftest import Kong
from .support import TinyServer, eventually

LUA = Path(__file__).parents[3] / "gateway" / "lua"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
pytestmark = pytest.mark.skipif(not LUA.exists(), reason="gateway/lua is not there")


def a_key(seed: str) -> str:
    """A well-formed key: 43 characters of base62 and the checksum of all before it."""
    body = "mk_test_" + (seed * 43)[:43]
    rest, digits = binascii.crc32(body.encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        digits = ALPHABET[digit] + digits
    return body + digits


ALICE, BOB, NOBODY = a_key("a"), a_key("b"), a_key("n")


@pytest_asyncio.fixture
async def market(kong: Kong, upstream: TinyServer, sink: TinyServer) -> Kong:
    """One API with the marketplace's plugins; alice may call it, bob's subscription is stopped."""
    await kong.route("pay", upstream.port)
    await kong.must("PATCH", "/services/pay", {"tags": ["api:1"]})
    read = {path.stem: path.read_text() for path in LUA.glob("*.lua")}
    await kong.plugin("/services/pay", "pre-function", access=[read["pre_access"]])
    filters = {"header_filter": [read["header_filter"]], "body_filter": [read["body_filter"]]}
    await kong.plugin("/services/pay", "post-function", access=[read["post_access"]], **filters)
    await kong.plugin(
        "/services/pay", "key-auth", key_names=["x-api-key"], hide_credentials=True, key_in_query=False
    )
    await kong.plugin("/services/pay", "acl", allow=["api_1"], hide_groups_header=True)
    fields = json.loads((LUA / "log_fields.json").read_text())
    endpoint = f"http://127.0.0.1:{sink.port}/"
    await kong.plugin("/services/pay", "http-log", http_endpoint=endpoint, custom_fields_by_lua=fields)
    stopped = ["api:1", "stop:quota", f"until:{int(time.time()) + 500}"]
    for name, key, tags in (("alice", ALICE, ["api:1"]), ("bob", BOB, stopped)):
        await kong.must("POST", "/consumers", {"username": name, "tags": tags})
        hashed = hashlib.sha256(key.encode()).hexdigest()
        await kong.must("POST", f"/consumers/{name}/key-auth", {"key": hashed})
    await kong.must("POST", "/consumers/alice/acls", {"group": "api_1"})
    await kong.plugin("/consumers/alice", "rate-limiting", hour=3)
    return kong


@pytest.mark.parametrize(
    "headers", [{"X_Api_Key": ALICE}, {"apikey": ALICE}, {"Authorization": f"Bearer {ALICE}"}]
)
async def test_a_good_key_passes_and_reaches_nobody(
    market: Kong, upstream: TinyServer, sink: TinyServer, headers: dict[str, str]
) -> None:
    reply = await market.get("/pay/charges?x=1", **headers)
    assert reply.status == 200
    assert reply.header("X-RateLimit-Limit") == "3"
    assert reply.header("X-Request-Id") == reply.header("X-Kong-Request-Id")
    await eventually(lambda: len(sink.seen) == 1)
    hashed = hashlib.sha256(ALICE.encode()).hexdigest()
    for text in (json.dumps(upstream.seen[0].headers), sink.seen[0].body.decode()):
        assert ALICE not in text
        assert hashed not in text
    assert json.loads(sink.seen[0].body)["request"]["path"] == "/pay/charges"


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "MISSING_API_KEY"),
        ({"X_Api_Key": NOBODY}, 401, "INVALID_API_KEY"),
        ({"X_Api_Key": "mk_live_short"}, 401, "INVALID_API_KEY"),
        ({"X_Api_Key": ALICE, "apikey": ALICE}, 401, "INVALID_API_KEY"),
        ({"X_Api_Key": BOB}, 429, "QUOTA_EXCEEDED"),
    ],
)
async def test_refusals_are_problem_details(
    market: Kong, headers: dict[str, Any], status: int, code: str
) -> None:
    reply = await market.get("/pay/charges", **headers)
    problem = reply.json()
    assert (reply.status, problem["status"], problem["code"]) == (status, status, code)
    assert reply.header("content-type") == "application/problem+json"
    assert problem["request_id"] == reply.header("X-Kong-Request-Id")


async def test_a_limit_and_a_dead_upstream_are_problem_details_too(market: Kong) -> None:
    for _ in range(3):
        await market.get("/pay/charges", X_Api_Key=ALICE)
    limited = await market.get("/pay/charges", X_Api_Key=ALICE)
    assert (limited.status, limited.json()["code"]) == (429, "RATE_LIMIT_EXCEEDED")
    plugin = (await market.must("GET", "/consumers/alice/plugins"))["data"][0]
    await market.must("DELETE", f"/plugins/{plugin['id']}")
    await market.must("PATCH", "/services/pay", {"port": 1})
    dead = await market.get("/pay/charges", X_Api_Key=ALICE)
    assert (dead.status, dead.json()["code"]) == (502, "PROXY_ERROR")
