"""What the gateway counts where it answers, in Prometheus' text form. Counters start from zero with the process."""

from __future__ import annotations

from devstack.kong import VERSION
from devstack.kong.exchange import Exchange


class Metrics:
    """Requests and bytes by service, route, code, source and consumer."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str, str, str, str], int] = {}
        self._bytes: dict[tuple[str, str, str, str], int] = {}
        self.queue_dropped: dict[str, int] = {}

    def count(self, exchange: Exchange) -> None:
        """Like Kong, only what belongs to a service is counted."""
        if exchange.service is None or exchange.route is None:
            return
        service = exchange.service["name"] or exchange.service["host"]
        route = exchange.route["name"] or exchange.route["id"]
        consumer = (exchange.consumer or {}).get("username") or ""
        source = "service" if exchange.source == "service" else "kong"
        request = (service, route, str(exchange.status), source, consumer)
        self._requests[request] = self._requests.get(request, 0) + 1
        for direction, size in (("egress", exchange.response_bytes), ("ingress", exchange.request_bytes)):
            key = (service, route, direction, consumer)
            self._bytes[key] = self._bytes.get(key, 0) + size

    def render(self, node_id: str, connections: dict[str, int]) -> str:
        """The body of `GET /metrics`."""
        lines = _heading(
            "kong_bandwidth_bytes", "counter", "Total bandwidth (ingress/egress) throughput in bytes"
        )
        for (service, route, direction, consumer), size in sorted(self._bytes.items()):
            labels = {"service": service, "route": route, "direction": direction, "workspace": "default"}
            lines.append(f"kong_bandwidth_bytes{_labels(labels | {'consumer': consumer})} {size}")
        lines += _heading(
            "kong_datastore_reachable", "gauge", "Datastore reachable from Kong, 0 is unreachable"
        )
        lines.append("kong_datastore_reachable 1")
        title = "HTTP status codes per consumer/service/route in Kong"
        lines += _heading("kong_http_requests_total", "counter", title)
        for (service, route, code, source, consumer), count in sorted(self._requests.items()):
            labels = {
                "service": service,
                "route": route,
                "code": code,
                "source": source,
                "workspace": "default",
            }
            lines.append(f"kong_http_requests_total{_labels(labels | {'consumer': consumer})} {count}")
        lines += _heading("kong_nginx_connections_total", "gauge", "Number of connections by subsystem")
        for state in ("accepted", "active", "handled", "total"):
            labels = {"node_id": node_id, "subsystem": "http", "state": state}
            lines.append(f"kong_nginx_connections_total{_labels(labels)} {connections.get(state, 0)}")
        lines += _heading(
            "kong_nginx_metric_errors_total", "counter", "Number of nginx-lua-prometheus errors"
        )
        lines.append("kong_nginx_metric_errors_total 0")
        lines += _heading("kong_node_info", "gauge", "Kong Node metadata information")
        lines.append(f"kong_node_info{_labels({'node_id': node_id, 'version': VERSION})} 1")
        if self.queue_dropped:
            title = "Log entries lost because a queue was full or its retries ran out (of the double only)"
            lines += _heading("kong_double_queue_dropped_total", "counter", title)
            for queue, count in sorted(self.queue_dropped.items()):
                lines.append(f"kong_double_queue_dropped_total{_labels({'queue': queue})} {count}")
        return "\n".join(lines) + "\n"


def _heading(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _labels(labels: dict[str, str]) -> str:
    def escaped(value: str) -> str:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items()) + "}"
