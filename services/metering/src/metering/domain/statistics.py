"""What the catalogue shows of how an API is used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal

from metering.domain.latency import Counts, percentiles
from metering.domain.windows import Grain, Window, floor_day

DAYS = 30
UNREACHABLE = (502, 503, 504)
"""What the gateway answers itself when the upstream could not: part of an API's calls, and of its failures."""


@dataclass(frozen=True, slots=True)
class Figures:
    """An API in the last 30 days: calls by live keys that reached it, and how it answered them.

    A call reached the API when its upstream answered, or the gateway could only say 502, 503 or 504 in its place; what
    the gateway refused is no call of these. `uptime_percent` is the share of `calls` with neither a 5xx nor such an
    answer, cut off after three digits: 99.9996 is not 100. Without a call there is nothing to say (None).
    """

    calls: int = 0
    subscribers: int = 0
    latency_ms_p50: int | None = None
    latency_ms_p95: int | None = None
    uptime_percent: Decimal | None = None


def figures_of(*, calls: int, refused: int, failed: int, subscribers: int, latencies: Counts) -> Figures:
    """The figures of `calls`, of which the gateway `refused` some, and some of the others `failed`."""
    reached = max(calls - refused, 0)
    if not reached:
        return Figures()
    p50, p95 = percentiles(latencies, 50, 95, refused=refused)
    up = Decimal(100 * max(reached - failed, 0)) / reached
    return Figures(
        calls=reached,
        subscribers=subscribers,
        latency_ms_p50=p50,
        latency_ms_p95=p95,
        uptime_percent=up.quantize(Decimal("0.001"), ROUND_DOWN),
    )


def last_days(now: datetime) -> Window:
    """Today (UTC) and the 29 days before."""
    tomorrow = floor_day(now) + timedelta(days=1)
    return Window(Grain.DAY, tomorrow - timedelta(days=DAYS), tomorrow)
