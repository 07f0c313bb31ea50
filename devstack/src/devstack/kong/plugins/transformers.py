"""request-transformer and response-transformer: headers, query, method, path. No bodies."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qsl, quote_plus

from devstack.kong.exchange import Exchange
from devstack.kong.headers import Headers
from devstack.kong.index import Instance
from devstack.kong.plugins.base import Plugin

_TEMPLATE = re.compile(r"\$\((headers|query_params|uri_captures)(?:\.([\w-]+)|\[[\"']?([\w-]+)[\"']?\])\)")


class RequestTransformer(Plugin):
    name = "request-transformer"

    async def access(self, exchange: Exchange, instance: Instance) -> None:
        config = instance.config
        render = _renderer(exchange)
        if config.get("http_method"):
            exchange.method = config["http_method"].upper()
        query = Headers(parse_qsl(exchange.raw_query, keep_blank_values=True))
        for step in ("remove", "rename", "replace", "add", "append"):
            _apply(step, exchange.headers, config[step]["headers"], render)
            _apply(step, query, config[step]["querystring"], render)
        if any(config[step]["querystring"] for step in ("remove", "rename", "replace", "add", "append")):
            exchange.raw_query = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in query)
        if config["replace"].get("uri"):
            exchange.upstream_path = render(config["replace"]["uri"])


class ResponseTransformer(Plugin):
    name = "response-transformer"

    def header_filter(self, exchange: Exchange, instance: Instance) -> None:
        if exchange.source != "service":
            return
        for step in ("remove", "rename", "replace", "add", "append"):
            _apply(step, exchange.response, instance.config[step]["headers"], lambda value: value)


def _apply(step: str, fields: Headers, entries: list[str], render: Callable[[str], str]) -> None:
    for entry in entries:
        name, _, raw = entry.partition(":")
        present = name in fields
        if step == "remove":
            fields.remove(name)
        elif step == "rename" and present:
            values = fields.get_all(name)
            fields.remove(name)
            fields.set_all(raw, values)
        elif (step == "replace" and present) or (step == "add" and not present):
            fields.set(name, render(raw))
        elif step == "append":
            fields.add(name, render(raw))


def _renderer(exchange: Exchange) -> Callable[[str], str]:
    def lookup(found: re.Match[str]) -> str:
        name = found[2] or found[3]
        if found[1] == "headers":
            return exchange.headers.get(name.replace("_", "-")) or ""
        if found[1] == "uri_captures":
            return exchange.captures.get(name, "")
        return dict(parse_qsl(exchange.raw_query, keep_blank_values=True)).get(name, "")

    return lambda text: _TEMPLATE.sub(lookup, text)
