"""Bring to the gateway what is due: only those owners' entities are touched, and Kong is not asked what stands.

A page is planned, written, settled. While it is written, the next one is planned and the one before it settled.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from common.clock import Clock
from common.db import Database, Scope
from common.ids import new_id
from kong_sync.clients.errors import KongUnavailable
from kong_sync.clients.gateway import Gateway
from kong_sync.db import due, passes
from kong_sync.domain.diff import Change, rank
from kong_sync.domain.entities import Owner
from kong_sync.usecases.apply_plan import Batch, apply_plan
from kong_sync.usecases.plan_page import Page, Planner, plan_page
from kong_sync.usecases.settle_page import Written, settle_page
from kong_sync.usecases.show_canary import show_canary
from kong_sync.usecases.stop_access import StopLane, stop_access

_ADMIN = Scope(platform_admin=True)
# Owners served in one go: the first provisioning of a large marketplace is cut into so many canaries.
_PAGE = 1_000
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


async def serve_due(server: DueServer) -> Served:
    """Nobody is due any more, but for those to be tried again later; or the Admin API does not answer."""
    planned, written = asyncio.Queue[Page | None](), asyncio.Queue[Written | None]()
    await _together(
        server.plan_pages(planned), server.write_pages(planned, written), server.settle_pages(written)
    )
    return server.served


@dataclass(slots=True)
class DueServer:
    """Serves what is due, as the leader. `touched` are all whom it has served.

    `check` raises when another process has taken over. `deletes_confirmed` says that removals which no row explains are
    meant. `interrupt` is set when there are new notes, and is set afterwards still; without it they are looked for now
    and then.

    No owner is in two pages that are under way: a plan is made against what was written and noted, and so it can be
    made while another page is being written.
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
    _under_way: list[Page] = field(default_factory=list)
    # a page has come a stage further, or somebody may have become due
    _moved: asyncio.Event = field(default_factory=asyncio.Event)
    _unseen: bool = False  # what was written so far is not known to be loaded
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
            if self.interrupt.is_set():
                self._heard = True
                self._moved.set()
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

    async def plan_pages(self, planned: asyncio.Queue[Page | None]) -> None:
        """Until nobody is due, each page is planned while the one before it is being written."""
        planner = Planner(self.db, self.gateway, self.clock, self.lane, self.deletes_confirmed)
        while self.served.unavailable is None:
            self._moved.clear()
            others = {owner for page in self._under_way for owner in page.owners}
            page = await self._take(others) if all(page.begun for page in self._under_way) else None
            if page is not None:
                self._under_way.append(page)
                planned.put_nowait(page)
                await plan_page(planner, page, under_way=others)
            elif self._under_way:
                await self._moved.wait()
            else:
                break
        planned.put_nowait(None)

    async def _take(self, others: set[Owner]) -> Page | None:
        """Those who have been due longest, but for `others`; None when nobody is."""
        async with self.lane.turn:
            async with self.db.begin(_ADMIN) as session:
                notes = await due.take(session, now=self.clock.now(), limit=_PAGE, besides=others)
                last = await passes.find(session)
            if not self._under_way:
                self._unseen = last is not None and last.canary_seen is False
            alone = not self._under_way and self._unseen and self.served.canary_seen is None
            if not notes and not alone:
                return None
            if self.gateway.enabled:
                await self._stop()
        return Page(notes, {note.owner for note in notes})

    async def write_pages(
        self, planned: asyncio.Queue[Page | None], written: asyncio.Queue[Written | None]
    ) -> None:
        """Each page is in Kong as far as Kong took it; none any more once it does not answer."""
        while (page := await planned.get()) is not None:
            page.begun = True
            self._moved.set()
            written.put_nowait(await self._write(page))
        written.put_nowait(None)

    async def _write(self, page: Page) -> Written:
        batch = Batch(
            self.gateway, new_id().hex, waiting=self._unseen, check=self._check, fence=self.lane.fence
        )
        seen = None
        if self.gateway.enabled and self.served.unavailable is None:
            try:
                await apply_plan(batch, page.arriving())
                seen = await self._look(page, batch)
            except KongUnavailable as error:
                self.served.unavailable = error
        await page.wait()
        unavailable = self.served.unavailable is not None
        return Written(page, batch.applied, seen, unavailable=unavailable, enabled=self.gateway.enabled)

    async def _look(self, page: Page, batch: Batch) -> bool | None:
        """Whether everything is loaded, if there is anything to look for."""
        if not (batch.written or page.unsettled or self._unseen):
            return None
        sighting = await show_canary(self.gateway, f"{batch.generation}-all")
        self._unseen = not sighting.seen
        self.served.canary_seen, self.served.instead = sighting.seen, sighting.instead
        self.served.lost = self.served.lost or sighting.lost
        return sighting.seen

    async def settle_pages(self, written: asyncio.Queue[Written | None]) -> None:
        """What was written is known, told, and not due any more."""
        while (one := await written.get()) is not None:
            await settle_page(self.db, self.clock, self.lane, one)
            await self._note_sight(one)
            served, applied = self.served, one.applied
            if one.enabled:
                changes = (change for portion in one.page.portions for change in portion.changes)
                served.changes += sorted(changes, key=rank)
            served.written += len(applied.written)
            served.failures |= applied.failures
            served.left_out |= applied.left_out
            served.lost = served.lost or applied.lost or bool(applied.orphans)
            self._under_way.remove(one.page)
            self._moved.set()

    async def _note_sight(self, one: Written) -> None:
        """Whether the gateway has loaded all that was written, for whoever comes after this process."""
        async with self.lane.turn:
            following = (page for page in self._under_way if page is not one.page)
            open_ = any(portion.loads_slowly for page in following for portion in page.portions)
            seen = one.seen is True and not one.unavailable
            if (one.unavailable or one.seen is not None) and not (seen and open_):
                async with self.db.begin(_ADMIN) as session:
                    await passes.saw(session, seen=seen)


async def _together(*stages: Coroutine[None, None, None]) -> None:
    """All were run to their ends; where one fails, the others are ended first. (Plain errors, and no group of them.)"""
    tasks = [asyncio.create_task(stage) for stage in stages]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()
