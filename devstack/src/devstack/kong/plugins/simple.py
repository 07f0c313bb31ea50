"""request-termination, correlation-id, prometheus: small ones."""

from __future__ import annotations

import itertools
import time

from devstack.kong.exchange import Exchange
from devstack.kong.ids import new_id
from devstack.kong.index import Instance
from devstack.kong.plugins.base import Node, Plugin

_DEFAULT_MESSAGES = {
    401: "Unauthorized",
    404: "Not found",
    405: "Method not allowed",
    500: "An unexpected error occurred",
}


class RequestTermination(Plugin):
    name = "request-termination"

    async def access(self, exchange: Exchange, instance: Instance) -> None:
        config = instance.config
        trigger = config.get("trigger")
        if trigger and trigger not in exchange.headers and f"{trigger}=" not in exchange.raw_query:
            return
        status = config["status_code"]
        if config["echo"]:
            request = {
                "headers": exchange.headers.grouped(),
                "host": exchange.host,
                "method": exchange.method,
                "path": exchange.path,
                "port": exchange.port,
                "raw_body": "",
                "scheme": exchange.scheme,
            }
            route, service = exchange.route or {}, exchange.service or {}
            exchange.exit_json(
                status, {"request": request, "matched_route": route, "matched_service": service}
            )
        elif config.get("body"):
            content_type = config.get("content_type") or "application/json; charset=utf-8"
            exchange.exit(status, config["body"].encode(), [("Content-Type", content_type)])
        elif config.get("message"):
            exchange.exit_json(status, {"message": config["message"]})
        else:
            exchange.exit_json(status, {"message": _DEFAULT_MESSAGES.get(status, "Service unavailable")})


class CorrelationId(Plugin):
    name = "correlation-id"

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._worker = new_id()
        self._counter = itertools.count(1)

    async def access(self, exchange: Exchange, instance: Instance) -> None:
        name = instance.config["header_name"]
        value = exchange.headers.get(name) or self._new(exchange, instance.config["generator"])
        exchange.headers.set(name, value)
        exchange.notes["correlation-id"] = value

    def header_filter(self, exchange: Exchange, instance: Instance) -> None:
        if instance.config["echo_downstream"]:
            name = instance.config["header_name"]
            value = exchange.notes.get("correlation-id") or exchange.headers.get(name)
            if value:
                exchange.response.set(name, value)

    def _new(self, exchange: Exchange, generator: str) -> str:
        if generator == "uuid":
            return new_id()
        if generator == "uuid#counter":
            return f"{self._worker}#{next(self._counter)}"
        return f"127.0.0.1-{exchange.port}-0-0-1-{time.time():.3f}"


class Prometheus(Plugin):
    """Counts, before any logger runs, what its config asks for."""

    name = "prometheus"

    def log(self, exchange: Exchange, instance: Instance) -> None:
        self.node.metrics.count(exchange, instance.config)
