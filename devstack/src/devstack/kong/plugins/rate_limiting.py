"""rate-limiting: fixed windows of the calendar, in UTC."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import Any

from devstack.kong.counters import ClusterCounters, CountersDown, LocalCounters, RedisCounters, Window
from devstack.kong.exchange import Exchange
from devstack.kong.fields import Json
from devstack.kong.index import Instance
from devstack.kong.plugin_schemas import PERIODS
from devstack.kong.plugins.base import Node, Plugin

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "month": 2592000, "year": 31536000}
NOBODY = "00000000-0000-0000-0000-000000000000"


class RateLimiting(Plugin):
    name = "rate-limiting"

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._local = LocalCounters()
        self._cluster = ClusterCounters(node.store.db)
        self._redis = RedisCounters(node.vault)

    async def access(self, exchange: Exchange, instance: Instance) -> None:
        config = instance.config
        now = time.time()
        windows = _windows(config, _identifier(exchange, config), instance, now)
        try:
            if config["policy"] == "redis":
                used, stopped = await self._redis.take(config["redis"], windows)
            else:
                counters = self._local if config["policy"] == "local" else self._cluster
                used, stopped = counters.take(windows, now)
        except CountersDown as error:
            print(f"rate-limiting failed to get usage: {error}", file=sys.stderr, flush=True)
            if not config["fault_tolerant"]:
                exchange.error(500, "An unexpected error occurred")
            return
        reset = _set_headers(exchange, config, windows, used, stopped=stopped, now=now)
        if stopped is not None:
            retry = [] if config["hide_client_headers"] else [("Retry-After", str(reset))]
            exchange.error(int(config["error_code"]), config["error_message"], retry)

    async def flush(self, seconds: float) -> None:
        del seconds
        await self._redis.close()


def _identifier(exchange: Exchange, config: Json) -> str:
    """Whose calls are counted together."""
    by = config["limit_by"]
    found: Any = None
    if by == "service":
        found = (exchange.service or {}).get("id")
    elif by == "consumer":
        found = (exchange.consumer or exchange.credential or {}).get("id")
    elif by == "credential":
        found = (exchange.credential or {}).get("id")
    elif by == "header":
        found = exchange.headers.get(config.get("header_name") or "")
    elif by == "path" and exchange.path == config.get("path"):
        found = config.get("path")
    return found or exchange.client_ip


def _windows(config: Json, identifier: str, instance: Instance, now: float) -> list[Window]:
    """A window for each limit that is set; the keys are Kong's own."""
    route, service, _ = instance.scope
    windows = []
    for period in PERIODS:
        limit = config.get(period)
        if limit is not None:
            start = window_start(period, now)
            key = f"ratelimit:{route or NOBODY}:{service or NOBODY}:{identifier}:{start * 1000}:{period}"
            windows.append(Window(period, limit, start, SECONDS[period], key))
    return windows


def window_start(period: str, now: float) -> int:
    """The Unix second in which the present window of this kind began."""
    if period in ("second", "minute", "hour", "day"):
        return int(now) - int(now) % SECONDS[period]
    moment = datetime.fromtimestamp(now, UTC)
    month = 1 if period == "year" else moment.month
    return int(datetime(moment.year, month, 1, tzinfo=UTC).timestamp())


def _set_headers(
    exchange: Exchange,
    config: Json,
    windows: list[Window],
    used: list[int],
    *,
    stopped: Window | None,
    now: float,
) -> int:
    """Put the limits into the answer; returns the seconds until the tightest window ends."""
    tightest: tuple[float, float, Window] | None = None
    for window, count in zip(windows, used, strict=True):
        taken = 1 if stopped is None or stopped is window else 0
        remaining = max(0, window.limit - count - taken)
        if tightest is None or (remaining, -window.seconds) < (tightest[0], -tightest[2].seconds):
            tightest = (remaining, window.limit, window)
        if not config["hide_client_headers"]:
            title = window.period.capitalize()
            exchange.response.set(
                f"X-RateLimit-Limit-{title}",
                f"{window.limit:g}" if window.limit % 1 else str(int(window.limit)),
            )
            exchange.response.set(f"X-RateLimit-Remaining-{title}", str(int(remaining)))
    if tightest is None:
        return 1
    reset = max(1, tightest[2].seconds - int(now - tightest[2].start))
    if not config["hide_client_headers"]:
        exchange.response.set("RateLimit-Limit", str(int(tightest[1])))
        exchange.response.set("RateLimit-Remaining", str(int(tightest[0])))
        exchange.response.set("RateLimit-Reset", str(reset))
    return reset
