"""request-transformer and response-transformer: headers, query, method, path, JSON and form bodies. No multipart."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, quote_plus

from devstack.kong.exchange import Exchange
from devstack.kong.fields import Json
from devstack.kong.headers import Headers
from devstack.kong.index import Instance
from devstack.kong.plugins.base import Plugin

STEPS = ("remove", "rename", "replace", "add", "append")
_TEMPLATE = re.compile(r"\$\((headers|query_params|uri_captures)(?:\.([\w-]+)|\[[\"']?([\w-]+)[\"']?\])\)")

Render = Callable[[str], str]


class RequestTransformer(Plugin):
    name = "request-transformer"

    async def access(self, exchange: Exchange, instance: Instance) -> None:
        config = instance.config
        render = _renderer(exchange)
        self._transform_method(exchange, config)
        self._transform_headers(exchange, config, render)
        if any(config[step]["querystring"] for step in STEPS):
            query = Headers(parse_qsl(exchange.raw_query, keep_blank_values=True))
            for step in STEPS:
                for name, value in _pairs(config[step]["querystring"]):
                    _apply(step, query, name, value if step == "rename" else render(value))
            exchange.raw_query = _encoded(query)
        if any(config[step]["body"] for step in STEPS):
            self._transform_body(exchange, config, render)
        if config["replace"].get("uri"):
            exchange.upstream_path = render(config["replace"]["uri"])

    def _transform_method(self, exchange: Exchange, config: Json) -> None:
        method = config.get("http_method")
        if not method:
            return
        exchange.method = method.upper()
        if (
            exchange.method in ("GET", "HEAD", "TRACE")
            and exchange.body
            and _kind(exchange.headers) == "form"
        ):
            moved = parse_qsl(exchange.body.decode("latin-1"), keep_blank_values=True)
            held = parse_qsl(exchange.raw_query, keep_blank_values=True)
            exchange.raw_query = _encoded(Headers([*held, *moved]))

    def _transform_headers(self, exchange: Exchange, config: Json, render: Render) -> None:
        """Host can be replaced, and nothing else."""
        for step in STEPS:
            for name, value in _pairs(config[step]["headers"]):
                if name.lower() != "host":
                    _apply(step, exchange.headers, name, value if step == "rename" else render(value))
                elif step == "replace":
                    exchange.upstream_host = render(value)

    def _transform_body(self, exchange: Exchange, config: Json, render: Render) -> None:
        kind = _kind(exchange.headers)
        if kind == "multipart":
            exchange.error(501, "The double of Kong does not transform multipart bodies")
            return
        if kind is None:
            return
        raw = exchange.body or b""
        if kind == "json":
            parsed = _parsed(raw) if raw else {}
            if not isinstance(parsed, dict):
                return
            for step in STEPS if raw else ("add", "append"):
                for name, value in _pairs(config[step]["body"]):
                    _apply_json(step, parsed, name, value if step == "rename" else render(value))
            exchange.body = _dumped(parsed)
        else:
            form = Headers(parse_qsl(raw.decode("latin-1"), keep_blank_values=True))
            for step in STEPS if raw else ("add", "append"):
                for name, value in _pairs(config[step]["body"]):
                    _apply(step, form, name, value if step == "rename" else render(value))
            exchange.body = _encoded(form).encode("latin-1", "replace")
        exchange.headers.set("Content-Length", str(len(exchange.body)))


class ResponseTransformer(Plugin):
    """Works on every answer of what it is attached to, the gateway's own included."""

    name = "response-transformer"

    def header_filter(self, exchange: Exchange, instance: Instance) -> None:
        before, fields = exchange.response.copy(), exchange.response
        for step in STEPS:
            for name, value in _pairs(instance.config[step]["headers"]):
                if step == "remove":
                    fields.remove(name)
                elif step == "append":
                    fields.add(name, value)
                elif step == "rename" and name in before and value:
                    fields.set_all(value, before.get_all(name))
                    fields.remove(name)
                elif value and step != "rename" and (name in before) == (step == "replace"):
                    fields.set(name, value)
        if self.filters_body(exchange, instance):
            fields.remove("content-length")

    def filters_body(self, exchange: Exchange, instance: Instance) -> bool:
        wanted = any(instance.config[step]["json"] for step in STEPS)
        return wanted and _kind(exchange.response) == "json"

    def body_filter(self, exchange: Exchange, instance: Instance, data: bytes, *, last: bool) -> bytes:
        """The body is held until it is whole; what is no JSON object leaves as it came."""
        held: bytearray = exchange.notes.setdefault(("response-transformer", instance.id), bytearray())
        held += data
        if not last:
            return b""
        parsed = _parsed(bytes(held))
        if not isinstance(parsed, dict):
            return bytes(held)
        for step in STEPS:
            kinds = instance.config[step].get("json_types") or []
            for index, (name, value) in enumerate(_pairs(instance.config[step]["json"])):
                kind = kinds[index] if index < len(kinds) else "string"
                _apply_json(step, parsed, name, _typed(value, kind))
        return _dumped(parsed)


def _pairs(entries: list[str]) -> Iterator[tuple[str, str]]:
    return ((name, value) for name, _, value in (entry.partition(":") for entry in entries))


def _apply(step: str, fields: Headers, name: str, value: str) -> None:
    present = name in fields
    if step == "remove":
        fields.remove(name)
    elif step == "rename" and present:
        values = fields.get_all(name)
        fields.remove(name)
        fields.set_all(value, values)
    elif (step == "replace" and present) or (step == "add" and not present):
        fields.set(name, value)
    elif step == "append":
        fields.add(name, value)


def _apply_json(step: str, body: Json, name: str, value: Any) -> None:
    present = body.get(name) not in (None, False)  # as Lua sees it
    if step == "remove":
        body.pop(name, None)
    elif step == "rename" and name in body:
        body[value] = body.pop(name)
    elif value is not None and ((step == "replace" and present) or (step == "add" and not present)):
        body[name] = value
    elif step == "append" and value is not None:
        held = body.get(name)
        body[name] = (
            [*held, value] if isinstance(held, list) else [held, value] if isinstance(held, str) else [value]
        )


def _typed(value: str, kind: str) -> Any:
    if kind == "boolean":
        return value == "true"
    if kind == "number":
        try:
            number = float(value)
        except ValueError:
            return None
        return int(number) if number.is_integer() else number
    return value


def _kind(headers: Headers) -> str | None:
    content_type = (headers.get("content-type") or "").lower()
    if "application/json" in content_type:
        return "json"
    if "multipart/form-data" in content_type:
        return "multipart"
    return "form" if "application/x-www-form-urlencoded" in content_type else None


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


def _dumped(value: Json) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _encoded(fields: Headers) -> str:
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in fields)


def _renderer(exchange: Exchange) -> Render:
    def lookup(found: re.Match[str]) -> str:
        name = found[2] or found[3]
        if found[1] == "headers":
            return exchange.headers.get(name.replace("_", "-")) or ""
        if found[1] == "uri_captures":
            return exchange.captures.get(name, "")
        return dict(parse_qsl(exchange.raw_query, keep_blank_values=True)).get(name, "")

    return lambda text: _TEMPLATE.sub(lookup, text)
