"""Single plugins, beyond what the recordings show."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Kong
from .support import TinyServer, send


@pytest.fixture
async def echo(kong: Kong, upstream: TinyServer) -> Kong:
    await kong.route("echo", upstream.port)
    return kong


async def add_consumer(kong: Kong, name: str, *groups: str) -> None:
    await kong.must("POST", "/consumers", {"username": name, "custom_id": f"id-{name}"})
    await kong.must("POST", f"/consumers/{name}/key-auth", {"key": name})
    for group in groups:
        await kong.must("POST", f"/consumers/{name}/acls", {"group": group})


@pytest.mark.parametrize(
    ("config", "statuses"),
    [({"allow": ["gold"]}, [200, 403, 403]), ({"deny": ["gold"]}, [403, 200, 200])],
)
async def test_groups_are_let_in_or_kept_out(echo: Kong, config: dict[str, Any], statuses: list[int]) -> None:
    await echo.plugin("/services/echo", "key-auth")
    await echo.plugin("/services/echo", "acl", **config)
    await add_consumer(echo, "alice", "gold")
    await add_consumer(echo, "bob", "tin")
    await add_consumer(echo, "carol")
    assert [(await echo.get("/echo/x", apikey=name)).status for name in ("alice", "bob", "carol")] == statuses


async def test_groups_are_told_to_the_upstream_unless_hidden(echo: Kong, upstream: TinyServer) -> None:
    await echo.plugin("/services/echo", "key-auth")
    acl = await echo.plugin("/services/echo", "acl", allow=["gold", "tin"])
    await add_consumer(echo, "alice", "gold", "tin")
    await echo.get("/echo/x", apikey="alice")
    await echo.must("PATCH", f"/plugins/{acl['id']}", {"config": {"hide_groups_header": True}})
    await echo.get("/echo/x", apikey="alice")
    assert [seen.header("x-consumer-groups") for seen in upstream.seen] == ["gold, tin", None]


async def test_a_client_cannot_pose_as_a_consumer(echo: Kong, upstream: TinyServer) -> None:
    await echo.plugin("/services/echo", "key-auth")
    await add_consumer(echo, "alice")
    await echo.get("/echo/x", apikey="alice", X_Consumer_Username="root", X_Anonymous_Consumer="true")
    names = [value for name, value in upstream.seen[0].headers if name.lower() == "x-consumer-username"]
    assert names == ["alice"]
    assert upstream.seen[0].header("x-anonymous-consumer") is None


async def test_a_key_sent_twice_is_refused_and_a_hidden_one_leaves_the_query(
    echo: Kong, upstream: TinyServer
) -> None:
    await echo.plugin("/services/echo", "key-auth", hide_credentials=True)
    await add_consumer(echo, "alice")
    assert (await echo.get("/echo/x?apikey=alice&apikey=alice")).json()[
        "message"
    ] == "Duplicate API key found"
    assert (await echo.get("/echo/x?a=1&apikey=alice&b=2")).status == 200
    assert upstream.seen[0].line == "GET /x?a=1&b=2 HTTP/1.1"


async def test_a_key_in_the_body_is_found_and_hidden(echo: Kong, upstream: TinyServer) -> None:
    await echo.plugin("/services/echo", "key-auth", key_in_body=True, hide_credentials=True)
    await add_consumer(echo, "alice")
    headers = {"Content-Type": "application/json"}
    body = '{"apikey": "alice", "n": 1}'
    assert (await send(echo.proxy_port, "POST", "/echo/x", headers=headers, body=body)).status == 200
    assert upstream.seen[0].body == b'{"n":1}'


@pytest.mark.parametrize(
    ("config", "status"),
    [
        ({"allow": ["127.0.0.0/8"]}, 200),
        ({"allow": ["10.0.0.0/8"]}, 403),
        ({"deny": ["127.0.0.1"], "status": 418, "message": "no"}, 418),
    ],
)
async def test_addresses(echo: Kong, config: dict[str, Any], status: int) -> None:
    await echo.plugin("/services/echo", "ip-restriction", **config)
    assert (await echo.get("/echo/x")).status == status


@pytest.mark.parametrize(
    ("config", "origin", "allowed"),
    [
        ({}, "https://a.example", "*"),
        ({"credentials": True}, "https://a.example", "https://a.example"),
        ({"origins": ["https://a.example", "https://b.example"]}, "https://b.example", "https://b.example"),
        ({"origins": ["https://a.example", "https://b.example"]}, "https://evil.example", None),
        (
            {"origins": [r"https://.*\.a\.example", "https://b.example"]},
            "https://x.a.example",
            "https://x.a.example",
        ),
        ({"origins": [r".*\.a\.example", "b.example"]}, "https://a.example.evil", None),
    ],
)
async def test_origins(echo: Kong, config: dict[str, Any], origin: str, allowed: str | None) -> None:
    await echo.plugin("/services/echo", "cors", **config)
    assert (await echo.get("/echo/x", Origin=origin)).header("access-control-allow-origin") == allowed
    headers = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
    preflight = await send(echo.proxy_port, "OPTIONS", "/echo/x", headers=headers)
    assert (preflight.status, preflight.header("access-control-allow-origin")) == (200, allowed)


async def test_a_route_without_a_service_can_answer_by_itself(kong: Kong, upstream: TinyServer) -> None:
    await kong.route("pay", upstream.port, paths=["/acme/pay/"])
    await kong.must("POST", "/routes", {"name": "acme", "paths": ["/acme/"]})
    await kong.plugin("/routes/acme", "request-termination", status_code=404, message="No such API")
    assert (await kong.get("/acme/other")).json() == {"message": "No such API"}
    assert (await kong.get("/acme/pay/x")).status == 200


async def test_termination_waits_for_its_trigger(echo: Kong) -> None:
    config = {"trigger": "x-stop", "status_code": 410, "body": "<p>gone</p>", "content_type": "text/html"}
    await echo.plugin("/services/echo", "request-termination", **config)
    assert (await echo.get("/echo/x")).status == 200
    stopped = await echo.get("/echo/x", X_Stop="1")
    assert (stopped.status, stopped.body, stopped.header("content-type")) == (
        410,
        b"<p>gone</p>",
        "text/html",
    )


async def test_a_correlation_id_is_kept_or_made(echo: Kong, upstream: TinyServer) -> None:
    config = {"header_name": "X-Trace", "generator": "uuid", "echo_downstream": True}
    await echo.plugin("/services/echo", "correlation-id", **config)
    assert (await echo.get("/echo/x", X_Trace="mine")).header("x-trace") == "mine"
    made = (await echo.get("/echo/x")).header("x-trace")
    assert made == upstream.seen[1].header("x-trace")
    assert made


async def test_requests_are_rewritten(echo: Kong, upstream: TinyServer) -> None:
    config = {
        "http_method": "put",
        "rename": {"headers": ["X-Old:X-New"]},
        "replace": {"headers": ["X-Absent:1"], "uri": "/other/$(query_params.id)"},
        "add": {"headers": ["X-Id:$(headers.x_source)"], "querystring": ["q:1"]},
        "append": {"headers": ["X-More:2"]},
        "remove": {"querystring": ["secret"]},
    }
    await echo.plugin("/services/echo", "request-transformer", **config)
    await echo.get("/echo/x?id=7&secret=1", X_Old="old", X_Source="src", X_More="1")
    seen = upstream.seen[0]
    assert seen.line == "PUT /other/7?id=7&q=1 HTTP/1.1"
    names = ("x-old", "x-new", "x-absent", "x-id")
    assert [seen.header(name) for name in names] == [None, "old", None, "src"]
    assert [value for name, value in seen.headers if name.lower() == "x-more"] == ["1", "2"]


@pytest.mark.parametrize(
    ("accept", "content_type", "start"),
    [
        ("text/html,application/xhtml+xml", "text/html; charset=utf-8", b"<!doctype html>"),
        ("text/plain", "text/plain; charset=utf-8", b"no Route matched with those values\nrequest_id: "),
        ("application/xml", "application/xml; charset=utf-8", b"<?xml"),
        ("application/json", "application/json; charset=utf-8", b'{\n  "message":"no Route matched'),
    ],
)
async def test_kongs_own_errors_come_in_the_form_asked_for(
    kong: Kong, accept: str, content_type: str, start: bytes
) -> None:
    reply = await kong.get("/nowhere", Accept=accept)
    assert (reply.status, reply.header("content-type")) == (404, content_type)
    assert reply.body.startswith(start)
