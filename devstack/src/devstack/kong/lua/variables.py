"""nginx's variables, as far as `ngx.var` shows them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from devstack.kong.exchange import Exchange

_READ: dict[str, Callable[[Exchange], Any]] = {
    "kong_request_id": lambda x: x.id,
    "request_id": lambda x: x.id,
    "request_uri": lambda x: x.request_uri,
    "uri": lambda x: x.path,
    "args": lambda x: x.raw_query or None,
    "query_string": lambda x: x.raw_query or None,
    "is_args": lambda x: "?" if x.raw_query else "",
    "request_method": lambda x: x.method,
    "scheme": lambda x: x.scheme,
    "host": lambda x: x.host,
    "server_port": lambda x: str(x.port),
    "remote_addr": lambda x: x.client_ip,
    "realip_remote_addr": lambda x: x.client_ip,
    "remote_port": lambda x: str(x.client_port),
    "request_time": lambda x: f"{time.monotonic() - x.clock:.3f}",
    "request_length": lambda x: str(x.request_bytes),
    "bytes_sent": lambda x: str(x.response_bytes),
    "status": lambda x: str(x.status or 0),
    "upstream_uri": lambda x: x.upstream_uri,
    "upstream_host": lambda x: x.upstream_host,
    "upstream_status": lambda x: ", ".join(x.upstream_statuses) or None,
    "server_protocol": lambda x: x.request.head.version if x.request else "HTTP/1.1",
}


def read_variable(exchange: Exchange, name: str) -> Any:
    """The variable's text, or None where nginx has none."""
    if ("var", name) in exchange.notes:
        return exchange.notes["var", name]
    read = _READ.get(name)
    if read is not None:
        return read(exchange)
    if name.startswith("http_"):
        return exchange.headers.get(name[5:].replace("_", "-"))
    if name.startswith(("sent_http_", "upstream_http_")):
        return exchange.response.get(name.split("http_", 1)[1].replace("_", "-"))
    if name.startswith("arg_"):
        for part in exchange.raw_query.split("&"):
            key, _, value = part.partition("=")
            if key == name[4:]:
                return value
    return None
