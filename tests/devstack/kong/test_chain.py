"""The order of plugins, and which instance of one runs."""

from __future__ import annotations

import asyncio

from .conftest import Kong
from .support import TinyServer, send


def trace(word: str) -> str:
    return f"kong.service.request.add_header('x-trace', '{word}')"


async def test_plugins_run_by_kongs_priority_and_not_by_age(kong: Kong, upstream: TinyServer) -> None:
    await kong.route("echo", upstream.port)
    await kong.plugin("/services/echo", "post-function", access=[trace("post:") + trace_consumer()])
    await kong.plugin("/services/echo", "key-auth")
    await kong.plugin("/services/echo", "pre-function", access=[trace("pre:") + trace_consumer()])
    await kong.must("POST", "/consumers", {"username": "alice"})
    await kong.must("POST", "/consumers/alice/key-auth", {"key": "k"})
    assert (await kong.get("/echo/x", apikey="k")).status == 200
    assert [value for name, value in upstream.seen[0].headers if name == "x-trace"] == [
        "pre:",
        "nil",
        "post:",
        "alice",
    ]


def trace_consumer() -> str:
    who = "tostring((kong.client.get_consumer() or {}).username)"
    return f"; kong.service.request.add_header('x-trace', {who})"


async def test_the_most_specific_instance_runs_alone(kong: Kong, upstream: TinyServer) -> None:
    await kong.route("echo", upstream.port)
    consumer = await kong.must("POST", "/consumers", {"username": "alice"})
    await kong.must("POST", "/consumers/alice/key-auth", {"key": "k"})
    await kong.plugin("/services/echo", "key-auth")
    limits = {"": 90, "/services/echo": 80, "/routes/echo-r": 70, "/consumers/alice": 60}
    for where, limit in limits.items():
        await kong.plugin(where, "rate-limiting", minute=limit)
        assert (await kong.get("/echo/x", apikey="k")).header("X-RateLimit-Limit-Minute") == str(limit)
    both = {"consumer": {"id": consumer["id"]}, "name": "rate-limiting", "config": {"minute": 50}}
    await kong.must("POST", "/services/echo/plugins", both)
    assert (await kong.get("/echo/x", apikey="k")).header("X-RateLimit-Limit-Minute") == "50"
    assert (await kong.get("/echo/x")).header(
        "X-RateLimit-Limit-Minute"
    ) is None  # refused before it was counted


async def test_later_phases_run_for_plugins_that_an_exit_kept_from_running(
    kong: Kong, upstream: TinyServer
) -> None:
    await kong.route("echo", upstream.port)
    await kong.plugin("/services/echo", "key-auth")
    await kong.plugin(
        "/services/echo",
        "post-function",
        access=["kong.ctx.plugin.ran = true"],
        header_filter=[
            "kong.response.set_header('x-source', kong.response.get_source())",
            "kong.response.set_header('x-ran', tostring(kong.ctx.plugin.ran))",
        ],
    )
    refused = await kong.get("/echo/x")
    assert (refused.status, refused.header("x-source"), refused.header("x-ran")) == (401, "exit", "nil")


async def test_a_global_plugin_sees_what_no_route_took(kong: Kong) -> None:
    await kong.plugin("", "post-function", header_filter=["kong.response.set_header('x-seen', '1')"])
    reply = await kong.get("/nowhere")
    assert (reply.status, reply.header("x-seen")) == (404, "1")


async def test_a_disabled_plugin_does_not_run_and_another_service_is_untouched(
    kong: Kong, upstream: TinyServer
) -> None:
    await kong.route("one", upstream.port)
    await kong.route("two", upstream.port)
    plugin = await kong.plugin("/services/one", "request-termination")
    assert ((await kong.get("/one")).status, (await kong.get("/two")).status) == (503, 200)
    await kong.must("PATCH", f"/plugins/{plugin['id']}", {"enabled": False})
    assert (await kong.get("/one")).status == 200


async def test_changes_take_effect_at_once(kong: Kong, upstream: TinyServer) -> None:
    await kong.route("echo", upstream.port)
    await kong.plugin("/services/echo", "key-auth")
    await kong.plugin("/services/echo", "acl", allow=["gold"])
    await kong.must("POST", "/consumers", {"username": "alice"})
    credential = await kong.must("POST", "/consumers/alice/key-auth", {"key": "k"})
    statuses = [(await kong.get("/echo/x", apikey="k")).status]
    group = await kong.must("POST", "/consumers/alice/acls", {"group": "gold"})
    statuses.append((await kong.get("/echo/x", apikey="k")).status)
    await kong.must("DELETE", f"/consumers/alice/acls/{group['id']}")
    statuses.append((await kong.get("/echo/x", apikey="k")).status)
    await kong.must("DELETE", f"/consumers/alice/key-auth/{credential['id']}")
    statuses.append((await kong.get("/echo/x", apikey="k")).status)
    assert statuses == [403, 200, 403, 401]


async def test_an_upstreams_failure_is_repeated_only_where_that_is_safe(kong: Kong) -> None:
    answers = TinyServer(lambda _: None)  # takes the request, closes without an answer
    listening = await asyncio.start_server(answers._serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    await kong.route("broken", port)
    await kong.must("PATCH", "/services/broken", {"retries": 2})
    assert (await kong.get("/broken/x")).status == 502
    assert len(answers.seen) == 3
    assert (await send(kong.proxy_port, "POST", "/broken/x", body="abc")).status == 502
    assert len(answers.seen) == 4
    listening.close()
