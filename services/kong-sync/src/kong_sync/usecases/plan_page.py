"""Plan for those who are due, some owners at a time: from their rows alone, against what was last written for them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from common.clock import Clock
from common.db import Database, Scope
from kong_sync.clients.gateway import Gateway
from kong_sync.db import applied as applied_entities
from kong_sync.db import copies, due, passes
from kong_sync.db.due import Note
from kong_sync.domain.desired import desired_entities
from kong_sync.domain.diff import Change, diff
from kong_sync.domain.entities import Concern, Owner
from kong_sync.domain.guard import DeleteBudget, Plan, guard_deletes
from kong_sync.domain.progress import Progress, State, Wish, before_apply, wishes
from kong_sync.domain.records import Tables
from kong_sync.domain.standing import next_deadlines
from kong_sync.usecases.record_progress import record_progress
from kong_sync.usecases.stop_access import StopLane

_ADMIN = Scope(platform_admin=True)
# Owners planned in one go: for so long a stop may wait.
_PORTION = 50


@dataclass(frozen=True, slots=True)
class Portion:
    """Some owners of a page: why they are due, and everything that is to be done about them."""

    owners: frozenset[Owner]
    notes: tuple[Note, ...]
    changes: tuple[Change, ...]
    wishes: dict[Owner, Wish]
    deadlines: dict[Owner, datetime]
    unsettled: bool

    @property
    def is_ground(self) -> bool:
        """It holds more than subscriptions: things that may take each other's names."""
        return any(owner.concern is not Concern.SUBSCRIPTION for owner in self.owners)

    @property
    def loads_slowly(self) -> bool:
        """Something in it takes the gateway's workers up to seconds to load."""
        return any(change.loads_slowly for change in self.changes)


@dataclass(eq=False, slots=True)
class Page:
    """What is written together, before one canary: the notes that were taken, and the portions planned so far."""

    notes: Sequence[Note]
    owners: set[Owner]
    portions: list[Portion] = field(default_factory=list)
    planned: bool = False
    begun: bool = False
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, portion: Portion) -> None:
        """It is the next to be written."""
        self.portions.append(portion)
        self._news.set()

    def close(self) -> None:
        """All is planned."""
        self.planned = True
        self._news.set()

    async def arriving(self) -> AsyncIterator[list[Change]]:
        """The changes of each portion as soon as it is planned, in no order; ends when all are.

        Those of the ground come in one piece.
        """
        ground: list[Change] = []
        async for portion in self._arriving():
            ground += portion.changes
            if not portion.is_ground:
                yield ground
                ground = []
        yield ground

    async def _arriving(self) -> AsyncIterator[Portion]:
        seen = 0
        while seen < len(self.portions) or not self.planned:
            if seen < len(self.portions):
                yield self.portions[seen]
                seen += 1
            else:
                self._news.clear()
                await self._news.wait()

    async def wait(self) -> None:
        """All is planned."""
        async for _ in self._arriving():
            pass

    @property
    def unsettled(self) -> bool:
        """Somebody in it waits for the canary."""
        return any(portion.unsettled for portion in self.portions)


async def plan_page(planner: Planner, page: Page, *, under_way: set[Owner]) -> None:
    """Every note of `page` is planned. Whoever is `under_way` in an earlier page is due again after that."""
    of: dict[Owner, list[Note]] = defaultdict(list)
    for note in page.notes:
        of[note.owner].append(note)
    # providers first: else one would be planned with an API of its own, and noted as served apart from that
    ground = sorted(
        (owner for owner in of if owner.concern is not Concern.SUBSCRIPTION),
        key=lambda owner: owner.concern is not Concern.PROVIDER,
    )
    others = [owner for owner in of if owner.concern is Concern.SUBSCRIPTION]
    planned = set[Owner]()
    for owners in (*_parts(ground), *_parts(others)):
        notes = [note for owner in owners for note in of[owner]]
        page.add(await planner.plan(notes, besides=planned, under_way=under_way))
    page.owners |= planned
    page.close()


@dataclass(slots=True)
class Planner:
    """Plans portions, as the leader. What it plans for, the stop lane has not overtaken."""

    db: Database
    gateway: Gateway
    clock: Clock
    lane: StopLane
    deletes_confirmed: bool = False

    async def plan(self, notes: Sequence[Note], *, besides: set[Owner], under_way: set[Owner]) -> Portion:
        """New wishes are told as pending, and it is written down what may be in Kong from here on.

        All but those in `besides` are planned, and among them afterwards.
        """
        async with self.lane.turn, self.db.begin(_ADMIN) as session:
            now = self.clock.now()
            tables, owners = await _read(session, {note.owner for note in notes})
            owners -= besides
            # its plan would be one against what is being written just now
            await due.note(session, owners & under_way)
            owners -= under_way
            besides |= owners
            plan, wanted = await self._plan(session, tables, owners, now)
            since = {note.owner: now - timedelta(seconds=note.waited) for note in reversed(notes)}
            progress = await record_progress(
                session, wanted, lambda _, wish, told: before_apply(wish, told), now=now, since=since
            )
            portion = Portion(
                frozenset(owners), tuple(notes), plan.changes, wanted, next_deadlines(tables, now=now),
                _unsettled(wanted, progress),
            )  # fmt: skip
            if self.gateway.enabled:
                await applied_entities.begin(session, plan.changes)
                if portion.loads_slowly:
                    # should this process die now, the next pass knows that it has to look first
                    await passes.saw(session, seen=False)
            self.lane.planned(owners)
        return portion

    async def _plan(
        self, session: AsyncSession, tables: Tables, owners: set[Owner], now: datetime
    ) -> tuple[Plan, dict[Owner, Wish]]:
        everything = desired_entities(tables, self.gateway.edge, generation="", now=now)
        desired = [entity for entity in everything if entity.owner in owners]
        actual = await applied_entities.of_owners(session, owners)
        plan = guard_deletes(
            diff(desired, actual), tables, present=0, budget=DeleteBudget(), confirmed=self.deletes_confirmed
        )
        wanted = wishes(tables, desired, public_proxy_url=self.gateway.public_proxy_url)
        return plan, {owner: wish for owner, wish in wanted.items() if owner in owners}


async def _read(session: AsyncSession, owners: set[Owner]) -> tuple[Tables, set[Owner]]:
    """The rows of `owners`, and who is planned with them."""
    tables = await copies.tables_of(session, owners)
    # under a provider's path answers what none of its APIs does
    return tables, owners | {
        Owner(Concern.PROVIDER, api.provider_id)
        for api in tables.apis.values()
        if Owner(Concern.API, api.id) in owners
    }


def _parts(many: Sequence[Owner]) -> Iterator[Sequence[Owner]]:
    return (many[start : start + _PORTION] for start in range(0, len(many), _PORTION))


def _unsettled(wanted: Mapping[Owner, Wish], progress: Mapping[Owner, Progress]) -> bool:
    return any(
        one.state in {State.PENDING, State.APPLIED} and wanted[owner].waiting_for is None
        for owner, one in progress.items()
    )
