"""Put a new generation of the canary after everything written so far, and wait until it is seen."""

from __future__ import annotations

import asyncio

from kong_sync.clients.errors import KongRejected
from kong_sync.clients.gateway import Gateway
from kong_sync.clients.kong_proxy import Sighting
from kong_sync.domain.canary import canary

_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.02, 0.2


async def show_canary(gateway: Gateway, generation: str) -> Sighting:
    """Seen: the gateway has loaded all that was written before this call. Not seen: nobody knows."""
    try:
        for entity in canary(gateway.edge, generation):
            await gateway.admin.put(entity)
    except KongRejected as error:
        return Sighting(seen=False, instead=error.reason, lost=error.lacks_parent)
    loop = asyncio.get_running_loop()
    started, wait = loop.time(), _FIRST_WAIT_SECONDS
    while True:
        sighting = await gateway.proxy.look(
            gateway.edge.namespace, generation, connections=gateway.canary_connections
        )
        if sighting.seen or loop.time() - started > gateway.canary_timeout_seconds:
            return sighting
        await asyncio.sleep(wait)
        wait = min(wait * 1.5, _LONGEST_WAIT_SECONDS)
