"""cors: which other origins' pages may read the answers."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from devstack.kong.exchange import Exchange
from devstack.kong.fields import Json
from devstack.kong.index import Instance
from devstack.kong.plugin_schemas import METHODS
from devstack.kong.plugins.base import Plugin

_PLAIN = re.compile(r"[A-Za-z0-9.:/-]+")


class Cors(Plugin):
    name = "cors"

    async def access(self, exchange: Exchange, instance: Instance) -> None:
        config = instance.config
        origin = exchange.headers.get("origin")
        if (
            exchange.method != "OPTIONS"
            or not origin
            or "access-control-request-method" not in exchange.headers
        ):
            return
        exchange.notes["cors"] = "preflight"
        if config["preflight_continue"]:
            return
        _allow_origin(exchange, config, origin)
        response = exchange.response
        asked = exchange.headers.get("access-control-request-headers")
        if config.get("headers"):
            response.set("Access-Control-Allow-Headers", ",".join(config["headers"]))
        elif asked:
            response.set("Access-Control-Allow-Headers", asked)
        response.set("Access-Control-Allow-Methods", ",".join(config.get("methods") or METHODS))
        if config.get("max_age") is not None:
            response.set("Access-Control-Max-Age", f"{config['max_age']:g}")
        private = exchange.headers.get("access-control-request-private-network") == "true"
        if config["private_network"] and private:
            response.set("Access-Control-Allow-Private-Network", "true")
        exchange.exit(200)

    def header_filter(self, exchange: Exchange, instance: Instance) -> None:
        if exchange.notes.get("cors") == "preflight":
            return
        config = instance.config
        _allow_origin(exchange, config, exchange.headers.get("origin"))
        if config.get("exposed_headers"):
            exchange.response.set("Access-Control-Expose-Headers", ",".join(config["exposed_headers"]))


def _allow_origin(exchange: Exchange, config: Json, origin: str | None) -> None:
    response = exchange.response
    allowed = _allowed_origin(config.get("origins") or [], origin)
    if allowed == "*":
        if config["credentials"] and origin:  # browsers refuse "*" together with credentials
            response.add("vary", "Origin")
            response.set("Access-Control-Allow-Origin", origin)
            response.set("Access-Control-Allow-Credentials", "true")
        else:
            response.set("Access-Control-Allow-Origin", "*")
        return
    response.add("vary", "Origin")
    if allowed is None:
        response.remove("Access-Control-Allow-Origin")
    else:
        response.set("Access-Control-Allow-Origin", allowed)
    if config["credentials"]:
        response.set("Access-Control-Allow-Credentials", "true")


def _allowed_origin(origins: list[str], origin: str | None) -> str | None:
    """What Access-Control-Allow-Origin shall say; None for nothing."""
    if not origins or "*" in origins:
        return "*"
    if len(origins) == 1 and _PLAIN.fullmatch(origins[0]):
        return origins[0]
    if origin is None:
        return None
    normal, host = _normal(origin)
    for entry in origins:
        subject = normal if ":" in entry else host
        if _PLAIN.fullmatch(entry):
            if _normal(entry)[0] == normal:
                return normal
        elif re.fullmatch(entry.removeprefix("^").removesuffix("$"), subject):
            return normal
    return None


def _normal(origin: str) -> tuple[str, str]:
    parts = urlsplit(origin)
    if not parts.hostname:
        return origin, origin
    default = {"http": 80, "https": 443}.get(parts.scheme)
    port = f":{parts.port}" if parts.port and parts.port != default else ""
    return f"{parts.scheme}://{parts.hostname}{port}", parts.hostname
