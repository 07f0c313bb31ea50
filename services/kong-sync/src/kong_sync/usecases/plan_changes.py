"""What must change for Kong to match our tables."""

from __future__ import annotations

import asyncio
from datetime import datetime

from common.db import Database, Scope
from kong_sync.clients.gateway import Gateway
from kong_sync.db import copies
from kong_sync.domain.desired import desired_entities
from kong_sync.domain.diff import diff
from kong_sync.domain.guard import guard_deletes
from kong_sync.domain.ownership import adopt_all
from kong_sync.domain.report import Planned


async def plan_changes(
    db: Database, gateway: Gateway, *, now: datetime, generation: str, confirm_deletes: bool = False
) -> Planned:
    """The plan. Sees only entities that are ours by tag and id; writes nothing."""
    async with db.begin(Scope(platform_admin=True)) as session:
        tables = await copies.all_tables(session)
    dump = await gateway.admin.dump(gateway.edge.selector)

    def compare() -> Planned:
        desired = desired_entities(tables, gateway.edge, generation=generation, now=now)
        actual = adopt_all(gateway.edge, dump)
        changes = diff(desired, actual)
        plan = guard_deletes(
            changes, tables, present=len(actual), budget=gateway.budget, confirmed=confirm_deletes
        )
        return Planned(plan, tables, tuple(desired), generation, tuple(actual))

    return await asyncio.to_thread(compare)  # seconds in a large marketplace, in which stops must not wait
