"""Ask the gateway's node who it is."""

from __future__ import annotations

from kong_sync.clients.errors import KongRejected, KongUnavailable
from kong_sync.clients.gateway import Gateway


async def say_node(gateway: Gateway) -> str | None:
    """The version of Kong, None when it does not answer."""
    if not gateway.enabled:
        return None
    try:
        return str((await gateway.admin.node()).get("version", "unknown"))
    except (KongRejected, KongUnavailable):
        return None
