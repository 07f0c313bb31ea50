"""acl, ip-restriction, request-size-limiting: who and what may pass."""

from __future__ import annotations

import ipaddress
from typing import Any

from devstack.kong.exchange import Exchange
from devstack.kong.index import Instance
from devstack.kong.plugins.base import Plugin

_UNITS = {"megabytes": 1 << 20, "kilobytes": 1 << 10, "bytes": 1}


class Acl(Plugin):
    name = "acl"

    async def access(self, exchange: Exchange, instance: Instance) -> None:
        config = instance.config
        if exchange.consumer is None:
            if exchange.credential:
                exchange.error(403, "You cannot consume this service")
            else:
                exchange.error(401, "Unauthorized")
            return
        held = self.node.store.children("acls", "consumer", exchange.consumer["id"])
        groups = [entry["group"] for entry in held]
        if config.get("deny"):
            passes = not set(config["deny"]).intersection(groups)
        else:
            passes = bool(set(config.get("allow") or ()).intersection(groups))
        if not passes:
            exchange.error(403, "You cannot consume this service")
        elif groups and not config["hide_groups_header"]:
            exchange.headers.set("X-Consumer-Groups", ", ".join(groups).encode().decode("latin-1"))


class IpRestriction(Plugin):
    name = "ip-restriction"

    async def access(self, exchange: Exchange, instance: Instance) -> None:
        config = instance.config
        networks = instance.cache.get("networks")
        if networks is None:
            networks = {
                name: [ipaddress.ip_network(entry, strict=False) for entry in config.get(name) or ()]
                for name in ("allow", "deny")
            }
            instance.cache["networks"] = networks
        denied = _holds(networks["deny"], exchange.client_ip)
        if denied or (networks["allow"] and not _holds(networks["allow"], exchange.client_ip)):
            message = config.get("message") or f"IP address not allowed: {exchange.client_ip}"
            exchange.error(int(config.get("status") or 403), message)


def _holds(networks: list[Any], address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return any(parsed in network for network in networks)


class RequestSizeLimiting(Plugin):
    name = "request-size-limiting"

    async def access(self, exchange: Exchange, instance: Instance) -> None:
        config = instance.config
        allowed = config["allowed_payload_size"] * _UNITS[config["size_unit"]]
        sent = exchange.headers.get("content-length")
        if sent is None and config["require_content_length"]:
            exchange.error(411, "A valid Content-Length header is required")
            return
        fits = int(sent) <= allowed if sent else await exchange.hold_body(allowed)
        if not fits:
            exchange.error(413, "Request size limit exceeded")
