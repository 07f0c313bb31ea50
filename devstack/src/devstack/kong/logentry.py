"""A request as Kong writes it into its logs."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote_plus

from devstack.kong.exchange import Exchange
from devstack.kong.fields import Json
from devstack.kong.headers import Headers

_REDACTED = ("authorization", "proxy-authorization")


def encode_entry(exchange: Exchange, workspace: str) -> bytes:
    """One line of JSON, without a line end."""
    entry = serialize(exchange, workspace)
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogateescape")


def serialize(exchange: Exchange, workspace: str) -> Json:
    """The entry, with the changes that plugins asked for."""
    total = exchange.kong_ms + max(exchange.upstream_ms, 0) + exchange.receive_ms
    known = exchange.request is not None
    entry: Json = {
        "request": {
            "id": exchange.id,
            "method": exchange.method,
            "uri": exchange.request_uri,
            "url": f"{exchange.scheme}://{exchange.host}:{exchange.port}{exchange.request_uri}",
            "size": exchange.request_bytes,
            "querystring": query_table(exchange.raw_query) if known else {},
            "headers": _request_headers(exchange.headers),
        },
        "response": {
            "status": exchange.status,
            "size": exchange.response_bytes,
            "headers": _texts(exchange.response.grouped()),
        },
        "upstream_uri": exchange.upstream_uri if exchange.route else "",
        "upstream_status": ", ".join(exchange.upstream_statuses),
        "latencies": {
            "kong": exchange.kong_ms,
            "proxy": exchange.upstream_ms,
            "receive": exchange.receive_ms,
            "request": total,
        },
        "source": "upstream" if exchange.source == "service" else "kong",
        "client_ip": exchange.client_ip,
        "started_at": int(exchange.started * 1000),
        "workspace": workspace,
        "workspace_name": "default",
    }
    if exchange.service is not None:
        entry["service"] = _present(exchange.service) | {"ws_id": workspace}
        entry["tries"] = exchange.tries
    if exchange.route is not None:
        entry["route"] = _present(exchange.route) | {"ws_id": workspace}
    if exchange.consumer is not None:
        entry["consumer"] = _present(exchange.consumer)
    if exchange.credential is not None:
        entry["authenticated_entity"] = {"id": exchange.credential["id"]}
    for path, value, mode in exchange.log_changes:
        _change(entry, re.split(r"(?<!\\)\.", path), value, mode)
    return entry


def query_table(raw: str) -> dict[str, Any]:
    """Arguments as nginx gives them: a name without a value is true, a repeated one a list."""
    table: dict[str, Any] = {}
    for part in raw.split("&") if raw else ():
        if not part:
            continue
        name, equals, value = part.partition("=")
        name = unquote_plus(name)
        read: Any = unquote_plus(value) if equals else True
        if name in table:
            held = table[name]
            table[name] = [*held, read] if isinstance(held, list) else [held, read]
        else:
            table[name] = read
    return table


def _present(entity: Json) -> Json:
    return {name: value for name, value in entity.items() if value is not None}


def _request_headers(headers: Headers) -> dict[str, Any]:
    table = _texts(headers.grouped())
    for name in _REDACTED:
        if name in table:
            table[name] = "REDACTED"
    return table


def _texts(table: dict[str, Any]) -> dict[str, Any]:
    """Header bytes read as UTF-8, where they are."""
    return {
        name: [_text(one) for one in value] if isinstance(value, list) else _text(value)
        for name, value in table.items()
    }


def _text(value: str) -> str:
    return value if value.isascii() else value.encode("latin-1", "replace").decode("utf-8", "replace")


def _change(entry: Json, path: list[str], value: Any, mode: str) -> None:
    """Set, add (only when absent) or replace (only when present) a value; None takes it out."""
    target: Any = entry
    for step in path[:-1]:
        inner = target.get(step.replace("\\.", "."))
        if not isinstance(inner, dict):
            if value is None or mode == "replace":
                return
            inner = target[step.replace("\\.", ".")] = {}
        target = inner
    last = path[-1].replace("\\.", ".")
    present = last in target
    if (mode == "add" and present) or (mode == "replace" and not present):
        return
    if value is None:
        target.pop(last, None)
    else:
        target[last] = value
