"""Put the platform's own front door into the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kong_sync.clients.gateway import Gateway
from kong_sync.domain.diff import Action, Change, diff
from kong_sync.domain.front_door import adopt_front_door, front_door_entities, select_tags


async def bootstrap(gateway: Gateway, document: Mapping[str, Any]) -> list[Change]:
    """Every entity with the document's tags is as the document says; what had to change.

    Safe to repeat. KongRejected when something that is not ours is in the way.
    """
    tags = select_tags(document)
    actual = adopt_front_door(tags, await gateway.admin.dump(tags))
    changes = diff(front_door_entities(document), actual)
    for change in changes:
        if change.action is Action.DELETE:
            await gateway.admin.delete(change.entity)
        else:
            await gateway.admin.put(change.entity)
    return changes
