"""Bring to the gateway what is due: only those owners' entities are touched, and Kong is not asked what stands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy.ext.asyncio import AsyncSession

from common.clock import Clock
from common.db import Database, Scope
from common.ids import new_id
from common.log import get_logger
from kong_sync.clients.errors import KongUnavailable
from kong_sync.clients.gateway import Gateway
from kong_sync.db import applied as applied_entities
from kong_sync.db import copies, due, passes
from kong_sync.db.due import Note
from kong_sync.domain.desired import desired_entities
from kong_sync.domain.diff import Change, diff, rank
from kong_sync.domain.entities import Concern, Kind, Owner
from kong_sync.domain.guard import DeleteBudget, Plan, guard_deletes
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
from kong_sync.domain.records import Tables
from kong_sync.domain.report import Applied
from kong_sync.domain.standing import next_deadlines
from kong_sync.metrics import STOP_SECONDS
from kong_sync.usecases.apply_plan import Batch, apply_plan
from kong_sync.usecases.record_progress import record_progress
from kong_sync.usecases.show_canary import show_canary

log = get_logger()
_ADMIN = Scope(platform_admin=True)
# Notes served in one go: the first provisioning of a large marketplace is cut into so many canaries.
_PAGE = 1_000
# A refusal stays until somebody does something about it; what was only not loaded yet is looked at again soon.
_REFUSED_AGAIN, _UNSEEN_AGAIN = timedelta(seconds=15), timedelta(seconds=1)
# How often notes are looked for by somebody whom no event tells of them.
_LOOK_SECONDS = 0.1


@dataclass(slots=True)
class Served:
    """What was done so far."""

    changes: list[Change] = field(default_factory=list)
    written: int = 0
    failures: dict[Owner, str] = field(default_factory=dict)
    left_out: set[Owner] = field(default_factory=set)
    canary_seen: bool | None = None
    instead: str = ""
    lost: bool = False  # Kong is not what we take it for
    unavailable: KongUnavailable | None = None


@dataclass(frozen=True, slots=True)
class _Page:
    """Some notes, and everything that is to be done about them."""

    notes: tuple[Note, ...]
    tables: Tables
    plan: Plan
    wishes: dict[Owner, Wish]
    unseen: bool
    unsettled: bool = False


async def serve_due(server: DueServer) -> Served:
    """Nobody is due any more, but for those to be tried again later; or the Admin API does not answer."""
    while server.served.unavailable is None and await server.serve_page():
        pass
    return server.served


@dataclass(slots=True)
class DueServer:
    """Serves what is due, as the leader. `touched` are all whom it has served.

    `check` raises when another process has taken over. `deletes_confirmed` says that removals which no row explains are
    meant. `interrupt` is set when there are new notes; without it they are looked for now and then.
    """

    db: Database
    gateway: Gateway
    clock: Clock
    check: Callable[[], None]
    interrupt: asyncio.Event | None
    touched: set[Owner] = field(default_factory=set)
    deletes_confirmed: bool = False
    served: Served = field(default_factory=Served)
    _overtaken: set[Owner] = field(default_factory=set)
    # The notes that stops were looked for in. No number says how far that is: they are not committed in order.
    _seen: set[int] = field(default_factory=set)
    _looked_at: float | None = None
    _noted: dict[Owner, float] = field(default_factory=dict)  # by the loop's clock

    def forget(self) -> None:
        """As if nobody had been served yet."""
        self.touched.clear()
        self.served = Served()

    async def serve_page(self) -> bool:
        """Those who were due longest were served; False when nobody was due."""
        page = await self._begin()
        if page is None:
            return False
        if not self.gateway.enabled:
            await self._switch_off(page)
            return True
        batch = Batch(
            self.gateway, new_id().hex, waiting=page.unseen, check=self.check, breathe=self._breathe,
            overtaken=self._overtaken, heard=self._heard,
        )  # fmt: skip
        try:
            await apply_plan(batch, page.plan.changes)
            await self._look(page, batch)
        except KongUnavailable as error:
            self.served.unavailable = error
        await self._end(page, batch.applied)
        return True

    async def _begin(self) -> _Page | None:
        """New wishes are told as pending, and it is written down what may be in Kong from here on."""
        now = self.clock.now()
        self._overtaken.clear()
        async with self.db.begin(_ADMIN) as session:
            notes = await due.take(session, now=now, limit=_PAGE)
            last = await passes.find(session)
            unseen = last is not None and last.canary_seen is False
            if not notes and not (unseen and self.served.canary_seen is None):
                return None
            self._seen = {note.seq for note in notes}
            self._looked_at = None  # there may be stops beyond this page
            self._note_times(notes)
            tables, plan, wanted = await self._plan(session, {note.owner for note in notes}, now)
            since = {note.owner: now - timedelta(seconds=note.waited) for note in reversed(notes)}
            progress = await record_progress(
                session, wanted, lambda _, wish, told: before_apply(wish, told), now=now, since=since
            )
            if self.gateway.enabled:
                await applied_entities.begin(session, plan.changes)
                if any(change.loads_slowly for change in plan.changes):
                    # should this process die now, the next pass knows that it has to look first
                    await passes.saw(session, seen=False)
        return _Page(tuple(notes), tables, plan, wanted, unseen, _unsettled(wanted, progress))

    async def _plan(
        self, session: AsyncSession, owners: set[Owner], now: datetime
    ) -> tuple[Tables, Plan, dict[Owner, Wish]]:
        tables = await copies.tables_of(session, owners)
        # under a provider's path answers what none of its APIs does
        owners = owners | {
            Owner(Concern.PROVIDER, api.provider_id)
            for api in tables.apis.values()
            if Owner(Concern.API, api.id) in owners
        }
        self.touched |= owners
        everything = desired_entities(tables, self.gateway.edge, generation="", now=now)
        desired = [entity for entity in everything if entity.owner in owners]
        actual = await applied_entities.of_owners(session, owners)
        plan = guard_deletes(
            diff(desired, actual), tables, present=0, budget=DeleteBudget(), confirmed=self.deletes_confirmed
        )
        wanted = wishes(tables, desired, public_proxy_url=self.gateway.public_proxy_url)
        return tables, plan, {owner: wish for owner, wish in wanted.items() if owner in owners}

    async def _look(self, page: _Page, batch: Batch) -> None:
        """Whether everything is loaded, if there is anything to look for."""
        if batch.written or page.unsettled or page.unseen:
            sighting = await show_canary(self.gateway, f"{batch.generation}-all", breathe=self._breathe)
            self.served.canary_seen, self.served.instead = sighting.seen, sighting.instead
            self.served.lost = self.served.lost or sighting.lost

    async def _end(self, page: _Page, applied: Applied) -> None:
        """What was written is known, told, and not due any more."""
        now, served = self.clock.now(), self.served
        served.changes += page.plan.changes
        served.written += len(applied.written)
        served.failures |= applied.failures
        served.left_out |= applied.left_out
        served.lost = served.lost or applied.lost or bool(applied.orphans)
        wanted = {owner: wish for owner, wish in page.wishes.items() if owner not in self._overtaken}
        async with self.db.begin(_ADMIN) as session:
            await applied_entities.acknowledge(session, applied.written)
            if served.unavailable is not None:
                await record_progress(session, wanted, lambda _, wish, told: unreachable(wish, told), now=now)
                await passes.saw(session, seen=False)
                return
            seen = served.canary_seen is not False
            progress = await record_progress(
                session, wanted, partial(_after, applied=applied, seen=seen), now=now
            )
            if served.canary_seen is not None:
                await passes.saw(session, seen=seen)
            notes = [note for note in page.notes if note.owner not in self._overtaken]
            deadlines = next_deadlines(page.tables, now=now)
            again = {note.owner: deadlines[note.owner] for note in notes if note.owner in deadlines}
            for owner, at in _again(applied, progress, now=now).items():
                again[owner] = min(at, again.get(owner, at))
            await due.settle(session, notes, again)

    async def _switch_off(self, page: _Page) -> None:
        now = self.clock.now()
        async with self.db.begin(_ADMIN) as session:
            await record_progress(session, page.wishes, lambda _, wish, __: switched_off(wish), now=now)
            await due.settle(session, page.notes, next_deadlines(page.tables, now=now))

    async def _breathe(self) -> None:
        """Stops noted since are in force; those whom they concern are overtaken: the next page serves them whole."""
        if not self._worth_a_look():
            return
        if self.interrupt is not None:
            self.interrupt.clear()
        self._looked_at = asyncio.get_running_loop().time()
        stops = await self._find_stops()
        if not stops:
            return
        batch = Batch(
            self.gateway, "", waiting=False, check=self.check, breathe=_no_breath, overtaken=(), heard=self._heard
        )  # fmt: skip
        try:
            await apply_plan(batch, stops)
        finally:
            async with self.db.begin(_ADMIN) as session:
                await applied_entities.acknowledge(session, batch.written)

    def _worth_a_look(self) -> bool:
        if self._looked_at is None:
            return True
        if self.interrupt is not None:
            return self.interrupt.is_set()
        return asyncio.get_running_loop().time() - self._looked_at > _LOOK_SECONDS

    async def _find_stops(self) -> list[Change]:
        now, found = self.clock.now(), list[Change]()
        async with self.db.begin(_ADMIN) as session:
            while notes := await due.take(session, now=now, limit=_PAGE, besides=self._seen):
                self._seen |= {note.seq for note in notes}
                self._note_times(notes)
                owners = {note.owner for note in notes if note.owner.concern is Concern.SUBSCRIPTION}
                may_call = await applied_entities.owners_with(session, Kind.ACL, owners)
                _, plan, _ = await self._plan(session, may_call, now)
                stopped = {c.entity.owner for c in plan.changes if c.is_stop and c.ends_access}
                self._overtaken |= stopped
                found += [c for c in plan.changes if c.is_stop and c.entity.owner in stopped]
            await applied_entities.begin(session, found)
        return sorted(found, key=rank)

    def _note_times(self, notes: Iterable[Note]) -> None:
        now = asyncio.get_running_loop().time()
        for note in notes:
            self._noted.setdefault(note.owner, now - note.waited)

    def _heard(self, change: Change) -> None:
        """Kong said yes to `change`."""
        noted = self._noted.get(change.entity.owner)
        if noted is not None and change.is_stop and change.ends_access:
            STOP_SECONDS.observe(asyncio.get_running_loop().time() - noted)


async def _no_breath() -> None:
    return


def _unsettled(wanted: Mapping[Owner, Wish], progress: Mapping[Owner, Progress]) -> bool:
    return any(
        one.state in {State.PENDING, State.APPLIED} and wanted[owner].waiting_for is None
        for owner, one in progress.items()
    )


def _after(owner: Owner, wish: Wish, told: Progress | None, *, applied: Applied, seen: bool) -> Progress:
    return after_apply(
        wish, told, failure=applied.failures.get(owner), complete=owner not in applied.left_out, seen=seen
    )


def _again(applied: Applied, progress: Mapping[Owner, Progress], *, now: datetime) -> dict[Owner, datetime]:
    """When those are tried again with whom it did not go to the end."""
    refused = {*applied.failures, *applied.orphans}
    unseen = {owner for owner, one in progress.items() if one.state is State.APPLIED}
    return {
        owner: now + (_REFUSED_AGAIN if owner in refused else _UNSEEN_AGAIN)
        for owner in refused | applied.left_out | unseen
    }
