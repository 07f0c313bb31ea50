"""What stands in Kong otherwise than we last wrote it there."""

from __future__ import annotations

from collections.abc import Mapping

from common.db import Database, Scope
from kong_sync.clients.gateway import Gateway
from kong_sync.db import applied
from kong_sync.domain.drift import Drift, Key, Memory, find_drifted
from kong_sync.domain.entities import Entity

_ADMIN = Scope(platform_admin=True)


async def find_drift(db: Database, gateway: Gateway) -> list[Drift]:
    """All drift, and what of others' hangs on our entities. Reads all of Kong; writes nothing."""
    if not gateway.enabled:
        return []
    async with db.begin(_ADMIN) as session:
        before = await applied.everything(session)
    dump = await gateway.admin.dump(())
    async with db.begin(_ADMIN) as session:
        after = await applied.everything(session)
    return find_drifted(gateway.edge, _unchanged(before, after), dump)


def _unchanged(before: Memory, after: Memory) -> Memory:
    """What we wrote while Kong was listed, or took away, may have been listed either way."""
    sure: Mapping[Key, Entity] = {key: one for key, one in before.sure.items() if after.sure.get(key) == one}
    everything = {**before.all, **after.all}
    return Memory(sure, {key: one for key, one in everything.items() if key not in sure})
