"""Make Kong match our tables: what is due, or everything."""

from __future__ import annotations

import asyncio

from common.clock import Clock
from common.db import Database, Scope
from common.ids import new_id
from common.leader import leadership
from common.log import get_logger
from kong_sync.clients.errors import KongUnavailable
from kong_sync.clients.gateway import Gateway
from kong_sync.db import applied, copies, due, passes, plans
from kong_sync.domain.desired import desired_entities
from kong_sync.domain.diff import Action
from kong_sync.domain.entities import Concern, Owner
from kong_sync.domain.guard import Plan
from kong_sync.domain.history import Trigger
from kong_sync.domain.progress import Wish, switched_off, unreachable, wishes
from kong_sync.domain.report import Outcome, PassReport, Planned
from kong_sync.metrics import PASS_SECONDS, PASSES, PLAN_CHANGES, WITHHELD
from kong_sync.usecases.note_differences import note_differences
from kong_sync.usecases.plan_changes import plan_changes
from kong_sync.usecases.record_progress import Decide, record_progress
from kong_sync.usecases.serve_due import DueServer, Served, serve_due

log = get_logger()
_ADMIN = Scope(platform_admin=True)
# How long a look at all of Kong goes on before it is seen whether somebody is due.
_LOOK_SECONDS = 0.1


async def reconcile(
    db: Database, gateway: Gateway, *, clock: Clock, stop: asyncio.Event,
    sweep: bool = True, confirm_deletes: bool = False, interrupt: asyncio.Event | None = None,
) -> PassReport:  # fmt: skip
    """One pass was made, or another process was making one until `stop` was set.

    Afterwards, unless the report says otherwise, Kong equals our tables and every progress was told. Without `sweep`
    that is so for whoever was due, as far as nobody else has touched Kong. `interrupt` is set when more waits.
    """
    async with leadership(db, "reconcile", stop) as leader:
        one = _Pass(db, gateway, clock, DueServer(db, gateway, clock, leader.check, interrupt))
        if stop.is_set():
            report = PassReport(Outcome.BUSY, one.started_at, clock.now())
        elif sweep:
            report = await one.sweep(confirm_deletes=confirm_deletes)
            async with db.begin(_ADMIN) as session:
                await passes.put(session, report)
                await plans.record(session, report, id_=new_id(), trigger=Trigger.SWEEP)
            WITHHELD.set(len(report.plan.withheld))
        else:
            report = await one.serve()
            async with db.begin(_ADMIN) as session:
                await plans.record(session, report, id_=new_id(), trigger=Trigger.CHANGE)
    _measure(report)
    return report


class _Pass:
    def __init__(self, db: Database, gateway: Gateway, clock: Clock, server: DueServer) -> None:
        self.db, self.gateway, self.clock, self.server = db, gateway, clock, server
        self.started_at = clock.now()

    async def serve(self) -> PassReport:
        """What is due is served: a number of calls that does not depend on how large the marketplace is."""
        async with self.server.stopping():
            served = await serve_due(self.server)
        return await self._report(served)

    async def sweep(self, *, confirm_deletes: bool) -> PassReport:
        """Look at everything, note who is not as wished, and serve them."""
        if not self.gateway.enabled:
            await self._tell_all(lambda _, wish, __: switched_off(wish))
            return PassReport(Outcome.SWITCHED_OFF, self.started_at, self.clock.now())
        async with self.server.stopping():
            try:
                planned = await self._look_twice(confirm_deletes=confirm_deletes)
            except KongUnavailable as error:
                log.warning("gateway.unavailable", action=error.action, problem=error.problem)
                await self._tell_all(lambda _, wish, told: unreachable(wish, told))
                return PassReport(
                    Outcome.UNAVAILABLE,
                    self.started_at,
                    self.clock.now(),
                    canary_seen=False,
                    error=error.detail,
                )
            wanted = await asyncio.to_thread(self._wishes, planned)
            async with self.db.begin(_ADMIN) as session:
                if await passes.find(session) is None:
                    await passes.put(session, PassReport(Outcome.PARTLY, self.started_at, self.started_at))
            await note_differences(self.db, planned, wanted, lane=self.server.lane, now=self.started_at)
            # what the guard let through is allowed: within the budget, or confirmed
            self.server.deletes_confirmed = not planned.plan.withheld
            served = await serve_due(self.server)
        return await self._report(served, planned.plan)

    async def _look_twice(self, *, confirm_deletes: bool) -> Planned:
        planned = await self._look(confirm_deletes=confirm_deletes, serving=await self._was_filled())
        if self.server.served.lost:  # Kong was emptied: first of all it needs what everything hangs on
            await self.server.forget()
            planned = await self._look(confirm_deletes=confirm_deletes, serving=False)
        return planned

    async def _was_filled(self) -> bool:
        async with self.db.begin(_ADMIN) as session:
            return bool(await applied.of_owners(session, {Owner(Concern.PROBE)}))

    async def _look(self, *, confirm_deletes: bool, serving: bool) -> Planned:
        """The plan for everything. While Kong is listed, whoever becomes due is served."""
        looking = asyncio.create_task(
            plan_changes(
                self.db,
                self.gateway,
                now=self.started_at,
                generation=new_id().hex,
                confirm_deletes=confirm_deletes,
            )
        )
        try:
            while not (await asyncio.wait({looking}, timeout=_LOOK_SECONDS))[0]:
                if serving:
                    await serve_due(self.server)
        finally:
            looking.cancel()
        return await looking

    def _wishes(self, planned: Planned) -> dict[Owner, Wish]:
        return wishes(planned.tables, planned.desired, public_proxy_url=self.gateway.public_proxy_url)

    async def _tell_all(self, decide: Decide) -> None:
        async with self.db.begin(_ADMIN) as session:
            tables = await copies.all_tables(session)
            desired = desired_entities(tables, self.gateway.edge, generation="", now=self.started_at)
            wanted = wishes(tables, desired, public_proxy_url=self.gateway.public_proxy_url)
            await record_progress(session, wanted, decide, now=self.clock.now())

    async def _report(self, served: Served, plan: Plan | None = None) -> PassReport:
        plan = plan or Plan(changes=tuple(served.changes))
        unseen = served.canary_seen is False
        incomplete = bool(served.failures or served.left_out or plan.withheld or unseen)
        outcome = Outcome.PARTLY if incomplete else Outcome.APPLIED if served.written else Outcome.EQUAL
        error = f"The probe answered: {served.instead}" if unseen else None
        if served.unavailable is not None:
            log.warning(
                "gateway.unavailable", action=served.unavailable.action, problem=served.unavailable.problem
            )
            outcome, error = Outcome.UNAVAILABLE, served.unavailable.detail
        elif not self.gateway.enabled:
            outcome = Outcome.SWITCHED_OFF
        async with self.db.begin(_ADMIN) as session:
            next_deadline = await due.next_at(session, now=self.clock.now())
        return PassReport(
            outcome=outcome, started_at=self.started_at, finished_at=self.clock.now(), plan=plan,
            failures=served.failures, canary_seen=False if served.unavailable else served.canary_seen, error=error,
            next_deadline=next_deadline, sweep_needed=served.lost,
        )  # fmt: skip


def _measure(report: PassReport) -> None:
    PASSES.labels(report.outcome).inc()
    PASS_SECONDS.observe((report.finished_at - report.started_at).total_seconds())
    for action in Action:
        PLAN_CHANGES.labels(action).set(sum(change.action is action for change in report.plan.changes))
    if report.outcome not in {Outcome.EQUAL, Outcome.BUSY}:
        log.info(
            "gateway.reconciled", outcome=report.outcome, changes=len(report.plan.changes), error=report.error,
            withheld=len(report.plan.withheld), failures=len(report.failures),
        )  # fmt: skip
