"""What a gateway's node counts by itself: Prometheus' text, and the difference between two readings of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

_REQUESTS = "kong_http_requests_total{"
_ALL = "kong_nginx_requests_total{"
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
_ID = r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
# The names that kong-sync gives. A restricted key's consumer is named after its subscription too.
_ROUTE = re.compile(rf"route(?:-scopes)?\.{_ID}(?:\..+)?")
_LATEST = re.compile(rf"route-latest\.{_ID}")
_CONSUMER = re.compile(rf"(?:sub|test)_{_ID}(?:_share_.+)?")


class Series(NamedTuple):
    """What requests are counted by, whatever they were answered; `consumer` is empty for callers without a key."""

    service: str
    route: str
    consumer: str

    @property
    def version_id(self) -> UUID | None:
        """The API version that the route serves, if the route is one of ours that names one."""
        return _id(_ROUTE, self.route)

    @property
    def api_id(self) -> UUID | None:
        """The API, if the route is one of ours that leads to the latest version."""
        return _id(_LATEST, self.route)

    @property
    def subscription_id(self) -> UUID | None:
        """Whose key it was."""
        return _id(_CONSUMER, self.consumer)


def _id(pattern: re.Pattern[str], name: str) -> UUID | None:
    found = pattern.fullmatch(name)
    return UUID(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class Reading:
    """One node's counters at one moment; `requests_total` counts everything that the node was asked, us included."""

    requests_total: int
    series: Mapping[Series, int] = field(default_factory=dict)


def read_metrics(text: str) -> Reading:
    """The counters in Prometheus' text form; ValueError when a sample has no number."""
    series: dict[Series, int] = {}
    total = 0
    for line in text.splitlines():
        if line.startswith(_REQUESTS):
            labels = dict(_LABEL.findall(line))
            key = Series(labels.get("service", ""), labels.get("route", ""), labels.get("consumer", ""))
            series[key] = series.get(key, 0) + _value(line)
        elif line.startswith(_ALL):
            total += _value(line)
    return Reading(total, series)


def _value(line: str) -> int:
    return int(float(line.rpartition(" ")[2]))


def increase(before: Reading | None, now: Reading) -> dict[Series, int] | None:
    """What was counted between two readings; None when that is unknown: it is the first, or the node began anew.

    A node that restarts counts from zero. Any counter that fell or vanished tells it; what was counted between the
    reading before and the restart is lost, so nothing is said of that time.
    """
    if before is None or now.requests_total < before.requests_total:
        return None
    if any(now.series.get(key, -1) < value for key, value in before.series.items()):
        return None
    grown = {key: value - before.series.get(key, 0) for key, value in now.series.items()}
    return {key: value for key, value in grown.items() if value}
