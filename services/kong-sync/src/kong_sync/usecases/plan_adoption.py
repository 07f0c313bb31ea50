"""What stands where entities of ours belong."""

from __future__ import annotations

from datetime import datetime

from common.db import Database, Scope
from kong_sync.clients.gateway import Gateway
from kong_sync.db import copies
from kong_sync.domain.adoption import Adoption, find_adoption
from kong_sync.domain.desired import desired_entities


async def plan_adoption(db: Database, gateway: Gateway, *, now: datetime) -> Adoption:
    """What is in our way in all of Kong; nothing where the gateway is switched off. Writes nothing."""
    if not gateway.enabled:
        return Adoption()
    async with db.begin(Scope(platform_admin=True)) as session:
        tables = await copies.all_tables(session)
    dump = await gateway.admin.dump(())
    desired = desired_entities(tables, gateway.edge, generation="", now=now)
    return find_adoption(gateway.edge, desired, dump)
