"""Put a new generation of the canary after everything written so far, and wait until it is seen."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from kong_sync.clients.errors import KongRejected
from kong_sync.clients.gateway import Gateway
from kong_sync.clients.kong_proxy import Sighting
from kong_sync.domain.canary import canary
from kong_sync.domain.entities import Entity

_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.02, 0.2
# How often Kong is asked whether what is looked for still stands there.
_ASK_SECONDS = 1.0


async def show_canary(gateway: Gateway, generation: str) -> Sighting:
    """Seen: the gateway has loaded all that was written before this call. Not seen: nobody knows.

    `lost` says that it never will be, for Kong was emptied, or put back to an earlier state, before or since.
    """
    written = canary(gateway.edge, generation)
    try:
        for entity in written:
            await gateway.admin.put(entity)
    except KongRejected as error:
        return Sighting(seen=False, instead=error.reason, lost=error.lacks_parent)
    loop = asyncio.get_running_loop()
    started, wait = loop.time(), _FIRST_WAIT_SECONDS
    asked = started
    while True:
        sighting = await gateway.proxy.look(
            gateway.edge.namespace, generation, connections=gateway.canary_connections
        )
        if sighting.seen or loop.time() - started > gateway.canary_timeout_seconds:
            return sighting
        if loop.time() - asked > _ASK_SECONDS:
            asked = loop.time()
            if not await _stands(gateway, written[-1]):
                return replace(sighting, lost=True)
        await asyncio.sleep(wait)
        wait = min(wait * 1.5, _LONGEST_WAIT_SECONDS)


async def _stands(gateway: Gateway, route: Entity) -> bool:
    """The probe's route, whose path is of this generation, is in Kong as it was written."""
    found = await gateway.admin.find(route.kind, route.id)
    return found is not None and found.get("paths") == route.fields["paths"]
