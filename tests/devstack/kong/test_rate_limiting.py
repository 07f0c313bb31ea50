"""Windows, identities, and counters that cannot be reached."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from devstack.kong.plugins.rate_limiting import window_start

from .conftest import Kong
from .support import TinyServer

MOMENT = datetime(2026, 11, 15, 12, 34, 56, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("period", "start"),
    [
        ("second", datetime(2026, 11, 15, 12, 34, 56, tzinfo=UTC)),
        ("minute", datetime(2026, 11, 15, 12, 34, tzinfo=UTC)),
        ("hour", datetime(2026, 11, 15, 12, tzinfo=UTC)),
        ("day", datetime(2026, 11, 15, tzinfo=UTC)),
        ("month", datetime(2026, 11, 1, tzinfo=UTC)),
        ("year", datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_windows_are_the_calendars_in_utc(period: str, start: datetime) -> None:
    assert window_start(period, MOMENT + 0.5) == start.timestamp()


@pytest.fixture
async def away_from_the_edge() -> None:
    left = 60 - time.time() % 60
    if left < 3:  # a limit per minute must not be renewed in the middle of a test
        await asyncio.sleep(left)


@pytest.mark.usefixtures("away_from_the_edge")
async def test_the_tightest_window_is_told_and_refused_calls_cost_nothing(
    kong: Kong, upstream: TinyServer
) -> None:
    await kong.route("echo", upstream.port)
    await kong.plugin("/services/echo", "rate-limiting", minute=2, hour=10)
    replies = [await kong.get("/echo/x") for _ in range(4)]
    assert [reply.status for reply in replies] == [200, 200, 429, 429]
    assert [reply.header("X-RateLimit-Remaining-Hour") for reply in replies] == ["9", "8", "8", "8"]
    assert replies[3].header("RateLimit-Limit") == "2"
    assert 0 < int(replies[3].header("Retry-After") or 0) <= 60
    assert replies[3].header("Retry-After") == replies[3].header("RateLimit-Reset")


@pytest.mark.usefixtures("away_from_the_edge")
async def test_each_consumer_has_a_count_of_its_own_over_all_keys(kong: Kong, upstream: TinyServer) -> None:
    await kong.route("echo", upstream.port)
    await kong.plugin("/services/echo", "key-auth")
    await kong.plugin("/services/echo", "rate-limiting", minute=2)
    for consumer, keys in (("alice", ("a1", "a2")), ("bob", ("b1",))):
        await kong.must("POST", "/consumers", {"username": consumer})
        for key in keys:
            await kong.must("POST", f"/consumers/{consumer}/key-auth", {"key": key})
    statuses = [(await kong.get("/echo/x", apikey=key)).status for key in ("a1", "a2", "a1", "b1")]
    assert statuses == [200, 200, 429, 200]


@pytest.mark.parametrize(("tolerant", "status"), [(True, 200), (False, 500)])
async def test_without_redis_calls_pass_or_fail_as_configured(
    kong: Kong, upstream: TinyServer, unused_tcp_port: int, tolerant: Any, status: int
) -> None:
    await kong.route("echo", upstream.port)
    redis = {"host": "127.0.0.1", "port": unused_tcp_port, "timeout": 500}
    await kong.plugin(
        "/services/echo", "rate-limiting", minute=2, policy="redis", redis=redis, fault_tolerant=tolerant
    )
    reply = await kong.get("/echo/x")
    assert (reply.status, reply.header("X-RateLimit-Limit-Minute")) == (status, None)
