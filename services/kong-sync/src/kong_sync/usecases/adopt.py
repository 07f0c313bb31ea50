"""Take over the places where entities of ours belong and others stand."""

from __future__ import annotations

import asyncio

from common.clock import Clock
from common.db import Database, Scope
from common.ids import new_id
from common.leader import leadership
from kong_sync.clients.gateway import Gateway
from kong_sync.db import plans
from kong_sync.domain.errors import AdoptionChanged
from kong_sync.domain.guard import Plan
from kong_sync.domain.history import Trigger
from kong_sync.domain.report import Outcome, PassReport
from kong_sync.usecases.plan_adoption import plan_adoption
from kong_sync.usecases.reconcile import reconcile

_ADMIN = Scope(platform_admin=True)


async def adopt(
    db: Database, gateway: Gateway, *, clock: Clock, stop: asyncio.Event, confirmed: str
) -> PassReport:
    """What was previewed is gone, and a pass has put ours in its place.

    AdoptionChanged, and nothing was written, when it is not what `confirmed` was the mark of any more. A process that
    dies half-way leaves a place empty: the next pass fills it.
    """
    async with leadership(db, "reconcile", stop):
        started_at = clock.now()
        if stop.is_set():
            return PassReport(Outcome.BUSY, started_at, clock.now())
        adoption = await plan_adoption(db, gateway, now=started_at)
        if adoption.mark != confirmed:
            raise AdoptionChanged(
                "Something else is in the way now than was shown. Look again, then confirm."
            )
        report = PassReport(Outcome.APPLIED, started_at, started_at, plan=Plan(changes=adoption.removals))
        async with db.begin(_ADMIN) as session:  # before: what was begun must be found in the history
            await plans.record(session, report, id_=new_id(), trigger=Trigger.ADOPTION)
        for change in adoption.removals:
            await gateway.admin.delete(change.entity)
    return await reconcile(db, gateway, clock=clock, stop=stop)
