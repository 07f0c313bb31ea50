"""Put a new generation of the canary after everything written so far, and wait until it is seen."""

from __future__ import annotations

import asyncio

from kong_sync.clients.gateway import Gateway
from kong_sync.clients.kong_proxy import Sighting
from kong_sync.domain.canary import canary

_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.02, 0.5
# A newer wish may cut the waiting short, but a steady stream of them must not keep everything from being seen.
_UNDISTURBED_SECONDS = 2.0


async def show_canary(
    gateway: Gateway, generation: str, *, interrupt: asyncio.Event | None = None
) -> Sighting:
    """Seen: the gateway has loaded all that was written before this call. Not seen: nobody knows."""
    for entity in canary(gateway.edge, generation):
        await gateway.admin.put(entity)
    loop = asyncio.get_running_loop()
    started, wait = loop.time(), _FIRST_WAIT_SECONDS
    while True:
        sighting = await gateway.proxy.look(
            gateway.edge.namespace, generation, connections=gateway.canary_connections
        )
        waited = loop.time() - started
        disturbed = interrupt is not None and interrupt.is_set() and waited > _UNDISTURBED_SECONDS
        if sighting.seen or disturbed or waited > gateway.canary_timeout_seconds:
            return sighting
        await asyncio.sleep(wait)
        wait = min(wait * 1.5, _LONGEST_WAIT_SECONDS)
