"""Make Kong match our tables: one pass, the same whatever woke it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from common.clock import Clock
from common.db import Database, Scope
from common.ids import new_id
from common.leader import leadership
from common.log import get_logger
from kong_sync.clients.errors import KongUnavailable
from kong_sync.clients.gateway import Gateway
from kong_sync.clients.kong_proxy import Sighting
from kong_sync.db import copies, passes, plans
from kong_sync.domain.desired import desired_entities
from kong_sync.domain.diff import Action
from kong_sync.domain.entities import Concern, Owner
from kong_sync.domain.guard import Plan
from kong_sync.domain.history import Trigger
from kong_sync.domain.progress import (
    Progress,
    State,
    Wish,
    after_apply,
    before_apply,
    switched_off,
    unreachable,
    wishes,
)  # fmt: skip
from kong_sync.domain.report import Applied, Outcome, PassReport, Planned
from kong_sync.domain.standing import next_deadline
from kong_sync.metrics import PASS_SECONDS, PASSES, PLAN_CHANGES, WITHHELD
from kong_sync.usecases.apply_plan import apply_plan
from kong_sync.usecases.plan_changes import plan_changes
from kong_sync.usecases.record_progress import Decide, record_progress
from kong_sync.usecases.show_canary import show_canary

log = get_logger()
_ADMIN = Scope(platform_admin=True)


async def reconcile(
    db: Database, gateway: Gateway, *, clock: Clock, stop: asyncio.Event,
    confirm_deletes: bool = False, interrupt: asyncio.Event | None = None,
) -> PassReport:  # fmt: skip
    """One pass was made, or another process was making one until `stop` was set.

    Afterwards, unless the report says otherwise, Kong equals our tables and every progress was told. `interrupt` set
    means that something newer waits.
    """
    started_at = clock.now()
    async with leadership(db, "reconcile", stop) as leader:
        if stop.is_set():
            return PassReport(Outcome.BUSY, started_at, clock.now())
        one = _Pass(db, gateway, clock, leader.check, interrupt)
        report = await (one.run(confirm_deletes=confirm_deletes) if gateway.enabled else one.switch_off())
        async with db.begin(_ADMIN) as session:
            await passes.put(session, report)
            await plans.record(session, report, id_=new_id(), trigger=Trigger.SWEEP)
    _measure(report)
    return report


class _Pass:
    def __init__(
        self,
        db: Database,
        gateway: Gateway,
        clock: Clock,
        check: Callable[[], None],
        interrupt: asyncio.Event | None,
    ) -> None:
        self.db, self.gateway, self.clock, self.check, self.interrupt = db, gateway, clock, check, interrupt
        self.started_at = clock.now()

    async def run(self, *, confirm_deletes: bool) -> PassReport:
        """Plan, write, look, tell."""
        try:
            planned = await plan_changes(
                self.db,
                self.gateway,
                now=self.started_at,
                generation=new_id().hex,
                confirm_deletes=confirm_deletes,
            )
            wanted = self._wishes(planned)
            progress, unseen = await self._begin(wanted, planned.plan)
            applied = await apply_plan(
                self.gateway, planned, unseen=unseen, check=self.check, interrupt=self.interrupt
            )
            sighting = await self._look(planned, applied, wanted, progress, unseen=unseen)
        except KongUnavailable as error:
            return await self._unavailable(error)
        await self._tell(wanted, partial(_after, applied=applied, seen=sighting is None or sighting.seen))
        return self._report(planned, applied, sighting)

    async def switch_off(self) -> PassReport:
        """Nothing is in the gateway, and that is told."""
        await self._tell(await self._wishes_of_tables(), lambda _, wish, __: switched_off(wish))
        return PassReport(Outcome.SWITCHED_OFF, self.started_at, self.clock.now())

    def _wishes(self, planned: Planned) -> dict[Owner, Wish]:
        return wishes(planned.tables, planned.desired, public_proxy_url=self.gateway.public_proxy_url)

    async def _wishes_of_tables(self) -> dict[Owner, Wish]:
        async with self.db.begin(_ADMIN) as session:
            tables = await copies.all_tables(session)
        desired = desired_entities(tables, self.gateway.edge, generation="", now=self.started_at)
        return wishes(tables, desired, public_proxy_url=self.gateway.public_proxy_url)

    async def _begin(self, wanted: dict[Owner, Wish], plan: Plan) -> tuple[dict[Owner, Progress], bool]:
        """New wishes are told as pending; whether something written earlier may still be unloaded."""
        async with self.db.begin(_ADMIN) as session:
            progress = await record_progress(
                session, wanted, lambda _, wish, told: before_apply(wish, told), now=self.clock.now()
            )
            last = await passes.find(session)
            unseen = last is not None and last.canary_seen is False
            if any(change.loads_slowly for change in plan.changes):
                # should this process die now, the next pass knows that it has to look first
                await passes.put(
                    session, PassReport(Outcome.PARTLY, self.started_at, self.started_at, canary_seen=False)
                )
        return progress, unseen

    async def _look(
        self,
        planned: Planned,
        applied: Applied,
        wanted: dict[Owner, Wish],
        progress: dict[Owner, Progress],
        *,
        unseen: bool,
    ) -> Sighting | None:
        """Whether everything is loaded; None when there was nothing to look for."""
        missing = any(change.entity.owner.concern is Concern.CANARY for change in planned.plan.changes)
        unsettled = any(
            one.state in {State.PENDING, State.APPLIED} and wanted[owner].waiting_for is None
            for owner, one in progress.items()
        )
        if not (applied.written or missing or unsettled or unseen):
            return None
        return await show_canary(self.gateway, f"{planned.generation}-all", interrupt=self.interrupt)

    async def _tell(self, wanted: dict[Owner, Wish], decide: Decide) -> None:
        async with self.db.begin(_ADMIN) as session:
            await record_progress(session, wanted, decide, now=self.clock.now())

    async def _unavailable(self, error: KongUnavailable) -> PassReport:
        log.warning("gateway.unavailable", action=error.action, problem=error.problem)
        await self._tell(await self._wishes_of_tables(), lambda _, wish, told: unreachable(wish, told))
        return PassReport(
            Outcome.UNAVAILABLE, self.started_at, self.clock.now(), canary_seen=False, error=error.detail
        )

    def _report(self, planned: Planned, applied: Applied, sighting: Sighting | None) -> PassReport:
        unseen = sighting is not None and not sighting.seen
        incomplete = bool(applied.failures or applied.left_out or planned.plan.withheld or unseen)
        outcome = Outcome.PARTLY if incomplete else Outcome.APPLIED if applied.written else Outcome.EQUAL
        return PassReport(
            outcome=outcome, started_at=self.started_at, finished_at=self.clock.now(), plan=planned.plan,
            failures=applied.failures, canary_seen=sighting.seen if sighting else None,
            error=f"The probe answered: {sighting.instead}" if sighting is not None and unseen else None,
            next_deadline=next_deadline(planned.tables, now=self.started_at),
        )  # fmt: skip


def _after(owner: Owner, wish: Wish, told: Progress | None, *, applied: Applied, seen: bool) -> Progress:
    return after_apply(
        wish, told, failure=applied.failures.get(owner), complete=owner not in applied.left_out, seen=seen
    )


def _measure(report: PassReport) -> None:
    PASSES.labels(report.outcome).inc()
    PASS_SECONDS.observe((report.finished_at - report.started_at).total_seconds())
    WITHHELD.set(len(report.plan.withheld))
    for action in Action:
        PLAN_CHANGES.labels(action).set(sum(change.action is action for change in report.plan.changes))
    if report.outcome not in {Outcome.EQUAL, Outcome.BUSY}:
        log.info(
            "gateway.reconciled", outcome=report.outcome, changes=len(report.plan.changes), error=report.error,
            withheld=len(report.plan.withheld), failures=len(report.failures),
        )  # fmt: skip
