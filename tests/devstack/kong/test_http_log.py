"""http-log between the proxy and a collector."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from .conftest import Kong
from .support import Seen, TinyServer, eventually, serving

Entries = Callable[[], list[dict[str, Any]]]


def log_to(server: TinyServer, **more: Any) -> dict[str, Any]:
    return {"http_endpoint": f"http://127.0.0.1:{server.port}/logs?x=1"} | more


async def test_a_batch_is_an_array_and_carries_the_secret(
    kong: Kong, upstream: TinyServer, sink: TinyServer, entries: Entries
) -> None:
    await kong.route("echo", upstream.port)
    headers = {"X-Ingest-Token": "{vault://env/ingest-token}"}
    queue = {"max_batch_size": 200, "max_coalescing_delay": 0.1}
    await kong.plugin("/services/echo", "http-log", **log_to(sink, headers=headers, queue=queue))
    ids = [(await kong.get("/echo/x")).header("x-kong-request-id") for _ in range(5)]
    await eventually(lambda: len(entries()) == 5)
    assert [entry["request"]["id"] for entry in entries()] == ids
    assert isinstance(json.loads(sink.seen[0].body), list)
    assert sink.seen[0].line == "POST /logs?x=1 HTTP/1.1"
    assert sink.seen[0].header("x-ingest-token") == "ingest-secret"


async def test_services_with_equal_server_settings_share_one_queue(
    kong: Kong, upstream: TinyServer, sink: TinyServer, entries: Entries
) -> None:
    queue = {"max_batch_size": 10, "max_coalescing_delay": 0.2}
    for name in ("one", "two"):
        await kong.route(name, upstream.port)
        await kong.plugin(f"/services/{name}", "http-log", **log_to(sink, queue=queue))
        await kong.get(f"/{name}/x")
    await eventually(lambda: len(entries()) == 2)
    assert len(sink.seen) == 1
    assert [entry["service"]["name"] for entry in entries()] == ["one", "two"]


def _entries_of(posts: Sequence[Seen]) -> list[Any]:
    return [entry for post in posts for entry in json.loads(post.body)]


async def test_a_collector_that_comes_back_gets_everything(kong: Kong, upstream: TinyServer) -> None:
    broken = True
    async with serving(TinyServer(lambda _: (503, b"later") if broken else (200, b""))) as collector:
        await kong.route("echo", upstream.port)
        queue = {"max_batch_size": 2, "max_coalescing_delay": 0.05, "max_retry_delay": 0.05}
        await kong.plugin("/services/echo", "http-log", **log_to(collector, queue=queue))
        ids = [(await kong.get("/echo/x")).header("x-kong-request-id") for _ in range(6)]
        await eventually(lambda: len(collector.seen) >= 3)
        tried = len(collector.seen)
        broken = False
        # How many batches that makes depends on how fast the calls came.
        await eventually(
            lambda: set(ids) == {e["request"]["id"] for e in _entries_of(collector.seen[tried:])}
        )


async def test_a_lost_entry_is_still_counted_as_a_request(kong: Kong, upstream: TinyServer) -> None:
    """The counters stand at the answer and not at the log: what a full queue drops shows as a gap."""
    async with serving(TinyServer(lambda _: (503, b"no"))) as collector:
        await kong.route("echo", upstream.port)
        queue = {"max_entries": 3, "max_batch_size": 3, "max_retry_delay": 0.05, "max_retry_time": 60}
        await kong.plugin("/services/echo", "http-log", **log_to(collector, queue=queue))
        await kong.plugin("", "prometheus", status_code_metrics=True)
        for _ in range(10):
            await kong.get("/echo/x")
        metrics = (await kong.admin("GET", "/metrics")).body.decode()
    labels = 'service="echo",route="echo-r",code="200",source="service",workspace="default",consumer=""'
    assert f"kong_http_requests_total{{{labels}}} 10" in metrics
    dropped = [line for line in metrics.splitlines() if line.startswith("kong_double_queue_dropped_total")]
    assert [line.rsplit(" ", 1)[1] for line in dropped] == ["7"]


async def test_what_fields_take_out_leaves_no_key_and_no_query(
    kong: Kong, upstream: TinyServer, sink: TinyServer, entries: Entries
) -> None:
    await kong.route("echo", upstream.port)
    secret = (
        "request.uri",
        "request.url",
        "request.querystring",
        "upstream_uri",
        "request.headers",
        "response.headers",
    )
    fields = dict.fromkeys(secret, "return nil") | {"request.path": "return kong.request.get_path()"}
    queue = {"max_coalescing_delay": 0.01}
    await kong.plugin("/services/echo", "http-log", **log_to(sink, custom_fields_by_lua=fields, queue=queue))
    await kong.get("/echo/x?apikey=hush", X_Api_Key="hush")
    await eventually(lambda: len(entries()) == 1)
    assert "hush" not in sink.seen[0].body.decode()
    assert entries()[0]["request"]["path"] == "/echo/x"
