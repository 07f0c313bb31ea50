"""End the access of whoever may not call any more, beside all other changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Set
from dataclasses import dataclass, field
from itertools import groupby

from common.clock import Clock
from common.db import Database, Scope
from kong_sync.clients.gateway import Gateway
from kong_sync.db import applied as applied_entities
from kong_sync.db import copies, due
from kong_sync.db.due import Stopping
from kong_sync.domain.desired import desired_entities
from kong_sync.domain.diff import Change, diff, rank
from kong_sync.domain.entities import Kind, Owner
from kong_sync.metrics import STOP_SECONDS
from kong_sync.usecases.apply_plan import Batch, Fence

_ADMIN = Scope(platform_admin=True)
# Stopped in one go; more would keep the page waiting that wants to know or to note something.
_MANY = 50


@dataclass(slots=True)
class StopLane:
    """Stops whoever is due and may not call any more, in the process that also writes everything else, as the leader.

    What we remember of Kong, and the notes, are for one at a time: whoever reads or changes them has the `turn`, and a
    stop has it from its first look to Kong's last yes. Between those of the page, it waits for one short transaction.
    `fence` holds the page back from whoever was stopped until they are planned again; all of them are put among
    `touched`. `seen` are the notes that were dealt with: whom Kong refused to stop is left to the next page.
    """

    db: Database
    gateway: Gateway
    clock: Clock
    check: Callable[[], None]
    touched: set[Owner]
    fence: Fence = field(default_factory=Fence)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    seen: set[int] = field(default_factory=set)
    written: list[Change] = field(default_factory=list)

    def planned(self, owners: Set[Owner]) -> None:
        """A page knows what was left of `owners`, and will write for them; for the holder of the turn."""
        self.touched.update(owners)
        self.fence.overtaken.difference_update(owners)

    async def stop(self, noted: Mapping[Owner, Stopping]) -> None:
        """Nobody in `noted` can call who may not, by any key, but where Kong refused; it says when that was noted."""
        self.check()
        clock = asyncio.get_running_loop().time
        since = {owner: clock() - one.waited for owner, one in noted.items()}
        stops = await self._begin(noted)
        owners = {change.entity.owner for change in stops}
        await self.fence.overtake(owners)
        self.touched.update(owners)

        def heard(change: Change) -> None:
            if change.ends_access:
                STOP_SECONDS.observe(clock() - since[change.entity.owner])

        batch = Batch(self.gateway, "", waiting=False, check=self.check, fence=Fence(), heard=heard)
        try:
            await batch.write_rows(
                [*one] for _, one in groupby(stops, key=lambda change: change.entity.owner)
            )
            self.seen.update(seq for one in noted.values() for seq in one.seqs)
        finally:
            self.written += batch.written
            async with self.db.begin(_ADMIN) as session:
                await applied_entities.acknowledge(session, batch.written)

    async def _begin(self, owners: Collection[Owner]) -> list[Change]:
        """The reason first, then the end of access, owner by owner; and it is written down that they are open."""
        now = self.clock.now()
        async with self.db.begin(_ADMIN) as session:
            tables = await copies.tables_of(session, owners)
            desired = desired_entities(tables, self.gateway.edge, generation="", now=now)
            actual = await applied_entities.of_owners(session, owners)
            dead = {key.id for key in tables.keys.values() if key.is_dead}
            stops = [
                change
                for change in diff((entity for entity in desired if entity.owner in owners), actual)
                # a dead key goes to the consumer that says why, which is in no group
                if change.is_stop or (change.entity.kind is Kind.CREDENTIAL and change.entity.id in dead)
            ]
            ended = {change.entity.owner for change in stops if change.ends_access}
            stops = [change for change in stops if change.entity.owner in ended]
            await applied_entities.begin(session, stops)
        return sorted(stops, key=lambda change: (change.entity.owner.id, rank(change)))


async def stop_access(lane: StopLane) -> None:
    """Whoever is due and may not call any more cannot, but for whom Kong refused; for the holder of the turn.

    Raises KongUnavailable when Kong does not answer; whom that leaves unstopped is still due.
    """
    while True:
        async with lane.db.begin(_ADMIN) as session:
            noted = await due.stops(session, limit=_MANY, besides=lane.seen)
        if not noted:
            return
        await lane.stop(noted)
