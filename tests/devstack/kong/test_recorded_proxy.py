"""The proxy answers, calls upstreams and logs as a real Kong did."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from .conftest import Kong
from .recorded import REDIS, SINK, UPSTREAM, body_shape, header_shape, load, names, needs_recordings
from .support import Reply, TinyServer, eventually, send, send_raw

pytestmark = needs_recordings
TIMEOUTS = {"connect_timeout": 1000, "read_timeout": 1500, "retries": 0}


class Replay:
    """Replays recordings against one double; collects nothing, asserts everything."""

    def __init__(self, kong: Kong, upstream: TinyServer, sink: TinyServer) -> None:
        self.kong, self.upstream, self.sink = kong, upstream, sink
        self.ports = {UPSTREAM: str(upstream.port), SINK: str(sink.port)}
        self.back = {str(upstream.port): UPSTREAM, str(sink.port): SINK}

    async def service(self, name: str, *, paths: list[str] | None = None, **more: Any) -> None:
        service = {"name": name, "host": "127.0.0.1", "port": self.upstream.port} | TIMEOUTS
        route = {
            name: more.pop(name)
            for name in ("strip_path", "preserve_host", "hosts", "methods")
            if name in more
        }
        await self.kong.must("POST", "/services", service | more)
        await self.kong.must(
            "POST", f"/services/{name}/routes", {"name": f"{name}-r", "paths": paths or [f"/{name}"]} | route
        )

    async def admin(self, *recorded: str) -> None:
        for name in recorded:
            recording = load(name)
            reply = await send_raw(self.kong.admin_port, recording.raw(self.ports))
            assert reply.status == recording.status, (name, reply.body)

    async def proxy(self, *recorded: str) -> Reply:
        """Ask and compare: status, reason, headers by name and value, body, and what the upstream received."""
        for name in recorded:
            recording = load(name)
            reply = await send_raw(self.kong.proxy_port, recording.raw({}))
            assert (reply.status, reply.reason) == (recording.status, _reason(name)), (name, reply)
            assert header_shape(reply.headers) == header_shape(recording.answer_headers), name
            assert self._body(reply.body.decode()) == body_shape(recording.answer, {}), name
        return reply

    def _body(self, text: str) -> Any:
        port = f'"X-Forwarded-Port", "{self.kong.proxy_port}"'
        return body_shape(text.replace(port, '"X-Forwarded-Port", "8000"'), self.back)

    def entry(self, raw: bytes) -> Any:
        """A log entry, comparable with a recorded one."""
        return comparable(body_shape(raw.decode().replace(f":{self.kong.proxy_port}", ":8000"), self.back))


def _reason(name: str) -> str:
    from .recorded import FOLDER

    line = json.loads((Path(FOLDER) / f"{name}.json").read_text())["response"]["status_line"]
    return str(line.split(" ", 2)[2])


def comparable(entry: Any) -> Any:
    """An entry without what differs in each run: how long things took, and the bytes of varying headers."""
    if isinstance(entry, list):
        return [comparable(item) for item in entry]
    entry["latencies"] = {
        name: value if value == -1 else "<ms>" for name, value in entry["latencies"].items()
    }
    entry["response"].pop("size")
    headers = entry["response"]["headers"]
    varying = header_shape(list(headers.items()))
    entry["response"]["headers"] = {name: varying[name] for name in headers}
    for attempt in entry.get("tries", ()):
        for name in ("balancer_latency", "balancer_latency_ns", "balancer_start", "balancer_start_ns"):
            attempt[name] = "<time>"
    return entry


def differences(expected: Any, logged: list[Any]) -> list[str]:
    """Where the entry of the same call differs from what was recorded; of several, where the closest does."""

    def identity(entry: Any) -> Any:
        return entry["request"]["uri"], entry["request"]["method"], entry["response"]["status"]

    def compare(left: Any, right: Any, path: str) -> list[str]:
        if isinstance(left, dict) and isinstance(right, dict):
            return [
                line
                for name in sorted(left.keys() | right.keys())
                for line in compare(left.get(name), right.get(name), f"{path}.{name}")
            ]
        return [] if left == right else [f"{path}: recorded {left!r}, logged {right!r}"]

    candidates = [compare(expected, entry, "") for entry in logged if identity(entry) == identity(expected)]
    return min(candidates, key=len, default=["no such entry"])


@pytest_asyncio.fixture
async def replay(kong: Kong, upstream: TinyServer, sink: TinyServer) -> Replay:
    left = 60 - time.time() % 60
    if left < 8:  # recorded limits are per minute; a replay must not straddle two
        await asyncio.sleep(left)
    return Replay(kong, upstream, sink)


async def test_keys_groups_limits_and_cors_together(replay: Replay) -> None:
    await replay.admin("010-admin-service-create", "015-admin-service-patch", "020-admin-route-create")
    await replay.service("plain", connect_timeout=60000, read_timeout=60000)
    await replay.proxy("030-proxy-no-route", "031-proxy-plain-200", "032-proxy-plain-post-200")
    await replay.admin(*(name for name in names() if name[:3] in ("040", "041", "042", "043", "044")))
    await replay.admin("050-admin-consumer-create", "051-admin-keyauth-credential", "052-admin-acl-group")
    await replay.admin("053-admin-consumer-create-2", "056-admin-keyauth-credential-bob")
    await replay.proxy(*(name for name in names() if name[:2] == "06" or name[:3] == "070"))
    recorded = [load(name) for name in names() if name.startswith("080")]
    await eventually(lambda: len(replay.sink.seen) >= len(recorded))
    logged = [replay.entry(seen.body) for seen in replay.sink.seen]
    for recording in recorded:
        expected = comparable(body_shape(recording.body, {}))
        assert differences(expected, logged) == [], recording.name


async def test_upstreams_that_fail(replay: Replay) -> None:
    await replay.service("plain")
    await replay.service("down", port=1)
    await replay.service("slow", path="/slow")
    await replay.service("nodns", host="no-such-host.invalid", port=80)
    await replay.proxy(
        "150-proxy-502-refused", "151-proxy-504-timeout", "152-proxy-503-dns", "153-proxy-upstream-500"
    )


@pytest_asyncio.fixture
async def redis_port(tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[int]:
    beside = Path(sys.executable).with_name("redis-server")
    binary = str(beside) if beside.exists() else shutil.which("redis-server")
    if binary is None:
        pytest.skip("no redis-server here")
    quiet = asyncio.subprocess.DEVNULL
    arguments = ("--port", str(unused_tcp_port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path))
    server = await asyncio.create_subprocess_exec(binary, *arguments, stdout=quiet, stderr=quiet)
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", unused_tcp_port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                break
    yield unused_tcp_port
    server.terminate()
    await server.wait()


async def test_limits_counted_in_redis(replay: Replay, redis_port: int) -> None:
    replay.ports[REDIS] = str(redis_port)
    await replay.service("rlredis")
    await replay.admin("100-admin-plugin-rate-limiting-rlredis")
    await replay.proxy(*(f"154-proxy-rl-redis-{count}" for count in range(1, 5)))


async def test_limits_counted_in_the_database_and_hidden_ones(replay: Replay) -> None:
    await replay.service("rlcluster")
    await replay.service("rlhide")
    await replay.admin("101-admin-plugin-rate-limiting-rlcluster", "102-admin-plugin-rate-limiting-rlhide")
    await replay.proxy(*(f"155-proxy-rl-cluster-{count}" for count in range(1, 5)))
    await asyncio.sleep(1 - time.time() % 1)
    await replay.proxy("156-proxy-rl-hidden-1", "156-proxy-rl-hidden-2")


@pytest.mark.parametrize(
    ("service", "plugins", "call"),
    [
        ("term", ["103-admin-plugin-request-termination-term"], "157-proxy-termination"),
        ("corr", ["104-admin-plugin-correlation-id-corr"], "158-proxy-correlation"),
        ("ipr", ["105-admin-plugin-ip-restriction-ipr"], "159-proxy-ip-denied"),
        ("size", ["106-admin-plugin-request-size-limiting-size"], "160-proxy-413-size"),
        (
            "rtx",
            ["109-admin-plugin-request-transformer-rtx", "110-admin-plugin-response-transformer-rtx"],
            "164-proxy-transformers",
        ),
        ("pre", ["111-admin-plugin-pre-function-pre"], "165-proxy-pre-function"),
    ],
)
async def test_single_plugins(replay: Replay, service: str, plugins: list[str], call: str) -> None:
    await replay.service(service)
    await replay.admin(*plugins)
    await replay.proxy(call)


async def test_the_anonymous_and_the_hidden_key(replay: Replay) -> None:
    await replay.service("anon")
    await replay.service("keyhide")
    await replay.admin("130-admin-plugin-keyauth-anonymous", "116-admin-plugin-key-auth-keyhide")
    anonymous = json.loads(load("130-admin-plugin-keyauth-anonymous").body)["config"]["anonymous"]
    await replay.kong.must("PUT", f"/consumers/{anonymous}", {"username": "anonymous"})
    await replay.kong.must("POST", "/consumers", {"username": "carol"})
    await replay.kong.must("POST", "/consumers/carol/key-auth", {"key": "carol-key"})
    await replay.admin("131-admin-consumer-plugin-ratelimiting")
    await replay.proxy("174-proxy-anonymous-200", "176-proxy-keyauth-realm-401")
    for _ in range(3):  # as many as carol had made before it was recorded
        await send(replay.kong.proxy_port, "GET", "/keyhide/x", headers={"apikey": "carol-key"})
    await replay.proxy("177-proxy-keyauth-hidden-200")


async def test_batches_of_log_entries(replay: Replay) -> None:
    await replay.service("logbatch")
    config = {
        "http_endpoint": f"http://127.0.0.1:{replay.sink.port}/kong-logs/batch",
        "headers": {"X-Token": "t1"},
    }
    await replay.kong.plugin("/services/logbatch", "http-log", **config, queue={"max_batch_size": 2})
    await replay.proxy(*(f"178-proxy-logbatch-{count}" for count in range(1, 5)))
    await eventually(lambda: len(replay.sink.seen) == 2)
    for seen, name in zip(replay.sink.seen, ("178-httplog-batch-1", "178-httplog-batch-2"), strict=True):
        recording = load(name)
        assert seen.line == recording.line
        assert replay.entry(seen.body) == comparable(body_shape(recording.body, {}))
        assert {n.lower() for n, _ in recording.headers} <= {n.lower() for n, _ in seen.headers} | {
            "user-agent"
        }


async def test_routing_and_passing_on(replay: Replay) -> None:
    await replay.service("plain")
    await replay.service("strip0", path="/pre", strip_path=False, preserve_host=True)
    await replay.service("meth", hosts=["api.example"], methods=["POST"])
    await replay.kong.must("POST", "/upstreams", {"name": "pool"})
    await replay.kong.must("POST", "/upstreams/pool/targets", {"target": f"127.0.0.1:{replay.upstream.port}"})
    await replay.service("bal", host="pool", port=80)
    await replay.proxy(
        "179-proxy-strip-path-off", "180-proxy-route-host-method", "181-proxy-route-method-mismatch"
    )
    await replay.proxy(
        "182-proxy-balancer", "183-proxy-chunked", "185-proxy-bad-request", "186-proxy-dotdot-path"
    )
    await replay.proxy("187-proxy-405-trace", "188-proxy-xff-untrusted", "189-proxy-kong-debug")


async def test_metrics_count_what_was_answered(replay: Replay) -> None:
    await replay.service("prom")
    await replay.admin("118-admin-plugin-prometheus-prom")
    await replay.proxy("184-proxy-prometheus-call")
    recorded = [
        line
        for line in load("190-admin-metrics").answer.splitlines()
        if line.startswith("kong_http_requests")
    ]
    reply = await send_raw(replay.kong.admin_port, load("190-admin-metrics").raw({}))
    assert [
        line for line in reply.body.decode().splitlines() if line.startswith("kong_http_requests")
    ] == recorded
    labels = 'service="prom",route="prom-r",direction="ingress",workspace="default",consumer=""'
    assert f"kong_bandwidth_bytes{{{labels}}} 97" in reply.body.decode()
    assert families(reply.body.decode()) == {
        line for line in families(load("190-admin-metrics").answer) if "kong_memory_" not in line
    }
    latency = (
        'kong_upstream_latency_ms_bucket{service="prom",route="prom-r",workspace="default",le="60000"} 1'
    )
    assert latency in reply.body.decode().splitlines()


def families(metrics: str) -> set[str]:
    """What is measured, with its explanation, its type and the names of its labels."""
    heads = {line for line in metrics.splitlines() if line.startswith("#")}
    samples = (line.rsplit(" ", 1)[0] for line in metrics.splitlines() if not line.startswith("#"))
    return heads | {re.sub(r'="[^"]*"', "", sample) for sample in samples}


async def test_what_a_global_logger_sees(replay: Replay) -> None:
    await replay.service("down", port=1, retries=2, connect_timeout=500, read_timeout=60000)
    await replay.service("slow", path="/slow", read_timeout=800, connect_timeout=60000)
    await replay.service("ok", retries=5, tags=["t1", "t2"], connect_timeout=60000, read_timeout=60000)
    limits = {"minute": 2, "limit_by": "header", "header_name": "X-Tenant", "policy": "local"}
    await replay.kong.plugin("/services/ok", "rate-limiting", **limits)
    await replay.admin("300-admin-global-httplog")
    calls = [name for name in names() if name[:2] == "30" and "proxy" in name]
    await replay.proxy(*calls)
    recorded = [load(name) for name in names() if name.startswith("320")]
    await eventually(lambda: len(replay.sink.seen) >= len(recorded))
    logged = [replay.entry(seen.body) for seen in replay.sink.seen]
    for recording in recorded:
        expected = comparable(body_shape(recording.body, {}))
        assert differences(expected, logged) == [], recording.name
