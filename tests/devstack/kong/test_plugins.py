"""Single plugins, beyond what the recordings show."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Kong
from .support import TinyServer, send, send_raw


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


BODY_CHANGES = {
    "remove": {"body": ["secret"]},
    "rename": {"body": ["old:new"]},
    "replace": {"body": ["kept:$(headers.x_source)", "absent:1"]},
    "add": {"body": ["kept:no", "more:2"]},
    "append": {"body": ["list:b"]},
}


@pytest.mark.parametrize(
    ("content_type", "sent", "received"),
    [
        (
            "application/json",
            '{"secret":1,"old":"o","kept":"k","list":["a"]}',
            '{"kept":"src","list":["a","b"],"new":"o","more":"2"}',
        ),
        ("application/x-www-form-urlencoded", "secret=1&old=o&kept=k", "kept=src&new=o&more=2&list=b"),
        ("application/json", "no json", "no json"),
        ("text/plain", "secret=1", "secret=1"),
    ],
)
async def test_bodies_are_rewritten(
    echo: Kong, upstream: TinyServer, content_type: str, sent: str, received: str
) -> None:
    await echo.plugin("/services/echo", "request-transformer", **BODY_CHANGES)
    headers = {"Content-Type": content_type, "X-Source": "src"}
    assert (await send(echo.proxy_port, "POST", "/echo/x", headers=headers, body=sent)).status == 200
    seen = upstream.seen[0]
    assert seen.body.decode() == received
    assert seen.header("content-length") == str(len(received))


async def test_a_multipart_body_that_should_be_rewritten_is_refused(echo: Kong, upstream: TinyServer) -> None:
    await echo.plugin("/services/echo", "request-transformer", **BODY_CHANGES)
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert (await send(echo.proxy_port, "POST", "/echo/x", headers=headers, body="--x--")).status == 501
    assert upstream.seen == []


async def test_host_can_be_replaced_and_a_form_becomes_the_query_of_a_get(
    echo: Kong, upstream: TinyServer
) -> None:
    config = {
        "http_method": "GET",
        "replace": {"headers": ["Host:other.example"]},
        "add": {"headers": ["Host:no"]},
    }
    await echo.plugin("/services/echo", "request-transformer", **config)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    await send(echo.proxy_port, "POST", "/echo/x?a=1", headers=headers, body="b=2")
    assert upstream.seen[0].line == "GET /x?a=1&b=2 HTTP/1.1"
    assert [value for name, value in upstream.seen[0].headers if name.lower() == "host"] == ["other.example"]


async def test_answers_are_rewritten_also_the_gateways_own(echo: Kong) -> None:
    config = {
        "remove": {"json": ["request_id"], "headers": ["X-Upstream"]},
        "rename": {"headers": ["Server:X-Was"]},
        "replace": {"headers": ["X-Upstream:again"], "json": ["message:no"]},
        "add": {
            "headers": ["X-Upstream:no", "X-New:1"],
            "json": ["n:7", "b:true", "s:7"],
            "json_types": ["number", "boolean"],
        },
        "append": {"headers": ["X-New:2"], "json": ["message:more"]},
    }
    await echo.plugin("/services/echo", "response-transformer", **config)
    answer = await echo.get("/echo/x")
    assert [value for name, value in answer.headers if name == "X-New"] == ["1", "2"]
    assert (answer.header("x-was"), answer.header("x-upstream")) == ("echo-upstream", "again")
    assert {name: answer.json()[name] for name in "nbs"} == {"n": 7, "b": True, "s": "7"}
    await echo.plugin("/services/echo", "key-auth")
    refused = await echo.get("/echo/x")
    assert (refused.status, refused.header("x-new")) == (401, "1")
    assert refused.json() == {"message": ["no", "more"], "n": 7, "b": True, "s": "7"}


@pytest.mark.parametrize(
    ("size", "chunked", "status"),
    [(1024, False, 200), (1025, False, 413), (1024, True, 200), (1025, True, 413)],
)
async def test_a_large_body_is_refused_however_it_is_framed(
    echo: Kong, upstream: TinyServer, size: int, *, chunked: bool, status: int
) -> None:
    await echo.plugin(
        "/services/echo", "request-size-limiting", allowed_payload_size=1, size_unit="kilobytes"
    )
    body = "x" * size
    framed = f"{size:x}\r\n{body}\r\n0\r\n\r\n" if chunked else body
    length = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(size)}
    head = "".join(
        f"{name}: {value}\r\n" for name, value in ({"Host": "a", "Connection": "close"} | length).items()
    )
    reply = await send_raw(echo.proxy_port, f"POST /echo/x HTTP/1.1\r\n{head}\r\n{framed}".encode())
    assert (reply.status, len(upstream.seen)) == (status, int(status == 200))


async def test_a_length_can_be_demanded(echo: Kong) -> None:
    await echo.plugin("/services/echo", "request-size-limiting", require_content_length=True)
    assert (await echo.get("/echo/x")).status == 411


async def test_metrics_count_what_the_plugin_is_asked_to(echo: Kong) -> None:
    async def metrics() -> str:
        return (await echo.admin("GET", "/metrics")).body.decode()

    await add_consumer(echo, "alice")
    await echo.plugin("/services/echo", "key-auth")
    await echo.get("/echo/x", apikey="alice")
    assert "kong_http_requests_total" not in await metrics()
    plugin = await echo.plugin("/services/echo", "prometheus", status_code_metrics=True)
    await echo.get("/echo/x", apikey="alice")
    await echo.must("PATCH", f"/plugins/{plugin['id']}", {"config": {"per_consumer": True}})
    await echo.get("/echo/x", apikey="alice")
    await echo.get("/echo/x", apikey="nobody")
    await echo.get("/nowhere")
    counted = [
        line for line in (await metrics()).splitlines() if line.startswith("kong_http_requests_total{")
    ]
    labels = 'service="echo",route="echo-r",code="{}",source="{}",workspace="default",consumer="{}"'
    wanted = [("200", "service", ""), ("200", "service", "alice"), ("401", "kong", "")]
    assert counted == [f"kong_http_requests_total{{{labels.format(*each)}}} 1" for each in wanted]
    assert "kong_bandwidth_bytes" not in await metrics()


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
