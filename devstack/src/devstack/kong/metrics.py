"""What the prometheus plugin counts, in memory, and what the node says of itself, in Prometheus' text form."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from devstack.kong import VERSION
from devstack.kong.exchange import Exchange
from devstack.kong.fields import Json

_KONG_BUCKETS = (1, 2, 5, 7, 10, 15, 20, 30, 50, 75, 100, 200, 500, 750, 1000, 3000, 6000)
_OTHER_BUCKETS = (25, 50, 80, 100, 250, 400, 700, 1000, 2000, 5000, 10000, 30000, 60000)
_LATENCIES = {
    "kong_kong_latency_ms": "Latency added by Kong and enabled plugins for each service/route in Kong",
    "kong_request_latency_ms": "Total latency incurred during requests for each service/route in Kong",
    "kong_upstream_latency_ms": "Latency added by upstream response for each service/route in Kong",
}
_STATES = ("accepted", "active", "handled", "reading", "total", "waiting", "writing")

Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Histogram:
    bounds: tuple[int, ...]
    counts: list[int] = field(default_factory=list)  # one for each bound, and one for what is above all
    total: int = 0

    def observe(self, value: int) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str, labels: Labels) -> Iterable[str]:
        reached = 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            reached += count
            yield f"{name}_bucket{_text((*labels, ('le', bound)))} {reached}"
        yield f"{name}_count{_text(labels)} {reached}"
        yield f"{name}_sum{_text(labels)} {self.total}"


class Metrics:
    """Requests, bytes and latencies by service and route, as far as the plugin's config asks for them."""

    def __init__(self) -> None:
        self._requests: Counter[Labels] = Counter()
        self._bytes: Counter[Labels] = Counter()
        self._latencies: dict[str, dict[Labels, Histogram]] = {name: {} for name in _LATENCIES}
        self.queue_dropped: dict[str, int] = {}

    def count(self, exchange: Exchange, config: Json) -> None:
        """Like Kong, only what belongs to a service is counted."""
        if exchange.service is None or exchange.route is None:
            return
        service = exchange.service["name"] or exchange.service["host"]
        where = (("service", service), ("route", exchange.route["name"] or exchange.route["id"]))
        workspace = ("workspace", "default")
        known = (exchange.consumer or {}).get("username") if config["per_consumer"] else None
        consumer = ("consumer", known or "")
        if config["status_code_metrics"]:
            source = "service" if exchange.source == "service" else "kong"
            answer = (("code", str(exchange.status)), ("source", source))
            self._requests[(*where, *answer, workspace, consumer)] += 1
        if config["bandwidth_metrics"]:
            for direction, size in (("egress", exchange.response_bytes), ("ingress", exchange.request_bytes)):
                self._bytes[(*where, ("direction", direction), workspace, consumer)] += size
        if config["latency_metrics"]:
            self._observe(exchange, (*where, workspace))

    def _observe(self, exchange: Exchange, labels: Labels) -> None:
        total = exchange.kong_ms + max(exchange.upstream_ms, 0) + exchange.receive_ms
        seen = {"kong_kong_latency_ms": exchange.kong_ms, "kong_request_latency_ms": total}
        if exchange.upstream_ms >= 0:
            seen["kong_upstream_latency_ms"] = exchange.upstream_ms
        for name, value in seen.items():
            bounds = _KONG_BUCKETS if name == "kong_kong_latency_ms" else _OTHER_BUCKETS
            self._latencies[name].setdefault(labels, Histogram(bounds)).observe(value)

    def render(self, node_id: str, connections: dict[str, int]) -> str:
        """The body of `GET /metrics`: families by name; those of the plugin only once they have a sample."""
        node = ("node_id", node_id)
        title = "Total bandwidth (ingress/egress) throughput in bytes"
        lines = _family("kong_bandwidth_bytes", "counter", title, self._bytes.items())
        title = "Datastore reachable from Kong, 0 is unreachable"
        lines += _family("kong_datastore_reachable", "gauge", title, [((), 1)])
        title = "HTTP status codes per consumer/service/route in Kong"
        lines += _family("kong_http_requests_total", "counter", title, self._requests.items())
        lines += self._histogram("kong_kong_latency_ms")
        subsystem = ("subsystem", "http")
        states = {(node, subsystem, ("state", state)): connections.get(state, 0) for state in _STATES}
        title = "Number of connections by subsystem"
        lines += _family("kong_nginx_connections_total", "gauge", title, states.items())
        title = "Number of nginx-lua-prometheus errors"
        lines += _family("kong_nginx_metric_errors_total", "counter", title, [((), 0)])
        requests = {(node, subsystem): connections.get("total", 0)}
        lines += _family("kong_nginx_requests_total", "gauge", "Number of requests total", requests.items())
        timers = {(("state", state),): 0 for state in ("pending", "running")}
        lines += _family("kong_nginx_timers", "gauge", "Number of nginx timers", timers.items())
        version = {(node, ("version", VERSION)): 1}
        lines += _family("kong_node_info", "gauge", "Kong Node metadata information", version.items())
        lines += self._histogram("kong_request_latency_ms")
        lines += self._histogram("kong_upstream_latency_ms")
        title = "Log entries lost because a queue was full or its retries ran out (of the double only)"
        dropped = {(("queue", queue),): count for queue, count in self.queue_dropped.items()}
        lines += _family("kong_double_queue_dropped_total", "counter", title, dropped.items())
        return "\n".join(lines) + "\n"

    def _histogram(self, name: str) -> list[str]:
        held = self._latencies[name]
        if not held:
            return []
        lines = _heading(name, "histogram", _LATENCIES[name])
        for labels, histogram in sorted(held.items(), key=lambda item: item[0]):
            lines += histogram.lines(name, labels)
        return lines


def _family(name: str, kind: str, text: str, samples: Iterable[tuple[Labels, int]]) -> list[str]:
    lines = [f"{name}{_text(labels)} {value}" for labels, value in sorted(samples)]
    return [*_heading(name, kind, text), *lines] if lines else []


def _heading(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _text(labels: Labels) -> str:
    def escaped(value: str) -> str:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels) + "}" if labels else ""
