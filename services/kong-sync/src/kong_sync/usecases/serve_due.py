"""Bring to the gateway what is due: only those owners' entities are touched, and Kong is not asked what stands."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
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
from kong_sync.domain.entities import Concern, Owner
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
from kong_sync.usecases.apply_plan import Batch, apply_plan
from kong_sync.usecases.record_progress import record_progress
from kong_sync.usecases.show_canary import show_canary
from kong_sync.usecases.stop_access import StopLane, stop_access

log = get_logger()
_ADMIN = Scope(platform_admin=True)
# Notes served in one go: the first provisioning of a large marketplace is cut into so many canaries.
_PAGE = 1_000
# Owners planned, and later noted as served, in one go: for so long a stop may wait.
_PORTION = 50
# A refusal stays until somebody does something about it; what was only not loaded yet is looked at again soon.
_REFUSED_AGAIN, _UNSEEN_AGAIN = timedelta(seconds=15), timedelta(seconds=1)
# How often stops are looked for that no event of this process tells of.
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
class _Portion:
    """Some owners of a page: why they are due, and everything that is to be done about them."""

    owners: frozenset[Owner]
    notes: tuple[Note, ...]
    changes: tuple[Change, ...]
    wishes: dict[Owner, Wish]
    deadlines: dict[Owner, datetime]
    unsettled: bool


@dataclass(frozen=True, slots=True)
class _Page:
    """What is written together, before one canary."""

    portions: tuple[_Portion, ...]
    unseen: bool

    @property
    def changes(self) -> list[Change]:
        """All, in the order in which they are to be made."""
        return sorted((change for one in self.portions for change in one.changes), key=rank)

    @property
    def unsettled(self) -> bool:
        """Somebody waits for the canary."""
        return self.unseen or any(one.unsettled for one in self.portions)


async def serve_due(server: DueServer) -> Served:
    """Nobody is due any more, but for those to be tried again later; or the Admin API does not answer."""
    while server.served.unavailable is None and await server.serve_page():
        pass
    return server.served


@dataclass(slots=True)
class DueServer:
    """Serves what is due, as the leader. `touched` are all whom it has served.

    `check` raises when another process has taken over. `deletes_confirmed` says that removals which no row explains are
    meant. `interrupt` is set when there are new notes, and is set afterwards still; without it they are looked for now
    and then.
    """

    db: Database
    gateway: Gateway
    clock: Clock
    check: Callable[[], None]
    interrupt: asyncio.Event | None
    touched: set[Owner] = field(default_factory=set)
    deletes_confirmed: bool = False
    served: Served = field(default_factory=Served)
    lane: StopLane = field(init=False)
    _stopping: asyncio.Task[None] | None = None
    _heard: bool = False

    def __post_init__(self) -> None:
        self.lane = StopLane(self.db, self.gateway, self.clock, self.check, self.touched)

    async def forget(self) -> None:
        """As if nobody had been served yet."""
        async with self.lane.turn:
            self.touched.clear()
            self.served = Served()

    @asynccontextmanager
    async def stopping(self) -> AsyncIterator[None]:
        """Until the block ends, whoever may not call any more is stopped at once, whatever else is being done."""
        self._stopping = asyncio.create_task(self._keep_stopping())
        try:
            yield
        finally:
            async with self.lane.turn:  # never in the middle of a stop
                self._stopping.cancel()
            await asyncio.wait({self._stopping})
            if self._heard and self.interrupt is not None:
                self._heard = False
                self.interrupt.set()  # it told of more than stops, and whoever waits next has not heard it
            if not self._stopping.cancelled():
                self._stopping.result()

    async def _keep_stopping(self) -> None:
        while self.gateway.enabled:
            async with self.lane.turn:
                await self._stop()
            if self.interrupt is None:
                await asyncio.sleep(_LOOK_SECONDS)
                continue
            # not wait_for: in Python 3.11 it takes an event that comes with a cancellation for the better word
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self.interrupt.wait()
            self._heard = self._heard or self.interrupt.is_set()
            self.interrupt.clear()

    async def _stop(self) -> None:
        """For the holder of the turn."""
        try:
            with suppress(KongUnavailable):  # the page meets it as well, and tells
                await stop_access(self.lane)
        finally:
            self.served.changes += self.lane.written
            self.served.written += len(self.lane.written)
            self.lane.written.clear()

    def _check(self) -> None:
        self.check()
        if self._stopping is not None and self._stopping.done():
            self._stopping.result()

    async def serve_page(self) -> bool:
        """Those who were due longest were served; False when nobody was due."""
        page = await self._begin()
        if page is None:
            return False
        if not self.gateway.enabled:
            await self._switch_off(page)
            return True
        batch = Batch(
            self.gateway, new_id().hex, waiting=page.unseen, check=self._check, fence=self.lane.fence
        )
        try:
            await apply_plan(batch, page.changes)
            await self._look(page, batch)
        except KongUnavailable as error:
            self.served.unavailable = error
        await self._end(page, batch.applied)
        return True

    async def _begin(self) -> _Page | None:
        """New wishes are told as pending, and it is written down what may be in Kong from here on."""
        async with self.lane.turn:
            async with self.db.begin(_ADMIN) as session:
                notes = await due.take(session, now=self.clock.now(), limit=_PAGE)
                last = await passes.find(session)
            unseen = last is not None and last.canary_seen is False
            if not notes and not (unseen and self.served.canary_seen is None):
                return None
            if self.gateway.enabled:
                await self._stop()
            # it knows of all who were stopped until now
            self.lane.stopped.clear()
            self.lane.fence.overtaken.clear()
        of: dict[Owner, list[Note]] = defaultdict(list)
        for note in notes:
            of[note.owner].append(note)
        portions, planned = list[_Portion](), set[Owner]()
        # providers first: else one would be planned with an API of its own, and noted as served apart from that
        for owners in _parts(sorted(of, key=lambda owner: owner.concern is not Concern.PROVIDER), _PORTION):
            async with self.lane.turn, self.db.begin(_ADMIN) as session:
                mine = [owner for owner in owners if owner not in self.lane.fence.overtaken]
                some = [note for owner in mine for note in of[owner]]
                portions.append(await self._begin_portion(session, some, besides=planned))
        return _Page(tuple(portions), unseen)

    async def _begin_portion(
        self, session: AsyncSession, notes: Sequence[Note], *, besides: set[Owner]
    ) -> _Portion:
        """All but those in `besides` are planned, and among them afterwards."""
        now = self.clock.now()
        tables, owners = await self._read(session, {note.owner for note in notes})
        owners -= besides
        besides |= owners
        plan, wanted = await self._plan(session, tables, owners, now)
        since = {note.owner: now - timedelta(seconds=note.waited) for note in reversed(notes)}
        progress = await record_progress(
            session, wanted, lambda _, wish, told: before_apply(wish, told), now=now, since=since
        )
        if self.gateway.enabled:
            await applied_entities.begin(session, plan.changes)
            if any(change.loads_slowly for change in plan.changes):
                # should this process die now, the next pass knows that it has to look first
                await passes.saw(session, seen=False)
        return _Portion(
            frozenset(owners), tuple(notes), plan.changes, wanted, next_deadlines(tables, now=now),
            _unsettled(wanted, progress),
        )  # fmt: skip

    async def _read(self, session: AsyncSession, owners: set[Owner]) -> tuple[Tables, set[Owner]]:
        """The rows of `owners`, and who is planned with them."""
        tables = await copies.tables_of(session, owners)
        # under a provider's path answers what none of its APIs does
        return tables, owners | {
            Owner(Concern.PROVIDER, api.provider_id)
            for api in tables.apis.values()
            if Owner(Concern.API, api.id) in owners
        }

    async def _plan(
        self, session: AsyncSession, tables: Tables, owners: set[Owner], now: datetime
    ) -> tuple[Plan, dict[Owner, Wish]]:
        self.touched |= owners
        everything = desired_entities(tables, self.gateway.edge, generation="", now=now)
        desired = [entity for entity in everything if entity.owner in owners]
        actual = await applied_entities.of_owners(session, owners)
        plan = guard_deletes(
            diff(desired, actual), tables, present=0, budget=DeleteBudget(), confirmed=self.deletes_confirmed
        )
        wanted = wishes(tables, desired, public_proxy_url=self.gateway.public_proxy_url)
        return plan, {owner: wish for owner, wish in wanted.items() if owner in owners}

    async def _look(self, page: _Page, batch: Batch) -> None:
        """Whether everything is loaded, if there is anything to look for."""
        if batch.written or page.unsettled:
            sighting = await show_canary(self.gateway, f"{batch.generation}-all")
            self.served.canary_seen, self.served.instead = sighting.seen, sighting.instead
            self.served.lost = self.served.lost or sighting.lost

    async def _end(self, page: _Page, applied: Applied) -> None:
        """What was written is known, told, and not due any more."""
        served = self.served
        served.changes += page.changes
        served.written += len(applied.written)
        served.failures |= applied.failures
        served.left_out |= applied.left_out
        served.lost = served.lost or applied.lost or bool(applied.orphans)
        written: dict[Owner, list[Change]] = defaultdict(list)
        for change in applied.written:
            written[change.entity.owner].append(change)
        for portion in page.portions:
            async with self.lane.turn, self.db.begin(_ADMIN) as session:
                acknowledged = [change for owner in portion.owners for change in written[owner]]
                await applied_entities.acknowledge(session, acknowledged)
                await self._end_portion(session, portion, applied)
                self.lane.refused -= portion.owners - self.lane.fence.overtaken
        if served.unavailable is not None or served.canary_seen is not None:
            async with self.db.begin(_ADMIN) as session:
                seen = served.unavailable is None and served.canary_seen is True
                await passes.saw(session, seen=seen)

    async def _end_portion(self, session: AsyncSession, portion: _Portion, applied: Applied) -> None:
        now, overtaken = self.clock.now(), self.lane.fence.overtaken
        wanted = {owner: wish for owner, wish in portion.wishes.items() if owner not in overtaken}
        if self.served.unavailable is not None:
            await record_progress(session, wanted, lambda _, wish, told: unreachable(wish, told), now=now)
            return
        seen = self.served.canary_seen is not False
        progress = await record_progress(
            session, wanted, partial(_after, applied=applied, seen=seen), now=now
        )
        # whoever was stopped meanwhile is left to the next page
        notes = [note for note in portion.notes if note.owner not in overtaken]
        again = {
            note.owner: portion.deadlines[note.owner] for note in notes if note.owner in portion.deadlines
        }
        for owner, at in _again(applied, progress, now=now).items():
            if owner in portion.owners - overtaken:
                again[owner] = min(at, again.get(owner, at))
        await due.settle(session, notes, again)

    async def _switch_off(self, page: _Page) -> None:
        now = self.clock.now()
        for portion in page.portions:
            async with self.db.begin(_ADMIN) as session:
                await record_progress(
                    session, portion.wishes, lambda _, wish, __: switched_off(wish), now=now
                )
                await due.settle(session, portion.notes, portion.deadlines)


def _parts(many: Sequence[Owner], size: int) -> Iterator[Sequence[Owner]]:
    return (many[start : start + size] for start in range(0, len(many), size))


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
