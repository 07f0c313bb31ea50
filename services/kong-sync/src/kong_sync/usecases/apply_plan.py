"""Write a plan to Kong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from common.log import get_logger
from kong_sync.clients.errors import KongRejected, KongUnavailable
from kong_sync.clients.gateway import Gateway
from kong_sync.domain.diff import Action, Change, rank, steps
from kong_sync.domain.entities import Concern, Owner
from kong_sync.domain.report import Applied
from kong_sync.metrics import REFUSALS
from kong_sync.usecases.show_canary import show_canary

log = get_logger()
_FREE = frozenset({Concern.PROBE, Concern.CANARY})


async def apply_plan(batch: Batch, arriving: AsyncIterator[Sequence[Change]]) -> None:
    """Every change was written, or `batch` names its owner as refused or left out; KongUnavailable ends it half-way.

    What may be written before the limits are loaded is, as soon as it comes; the rest when all have come.
    """
    later: list[Change] = []
    async for changes in arriving:
        later += [change for change in changes if not change.comes_early]
        await batch.write_all([change for change in changes if change.comes_early])
    await batch.write_all(later)


@dataclass(slots=True)
class Fence:
    """Keeps the writing of a plan away from whoever is stopped meanwhile."""

    overtaken: set[Owner] = field(default_factory=set)
    _under_way: list[Owner] = field(default_factory=list)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def overtake(self, owners: Collection[Owner]) -> None:
        """The plan writes nothing more for `owners`, and no write for them is under way."""
        self.overtaken.update(owners)
        while any(owner in owners for owner in self._under_way):
            self._ended.clear()
            await self._ended.wait()

    @contextmanager
    def writing(self, owner: Owner) -> Iterator[None]:
        """While the block runs, a write for `owner`, who is not overtaken, is under way."""
        self._under_way.append(owner)
        try:
            yield
        finally:
            self._under_way.remove(owner)
            self._ended.set()


@dataclass(slots=True)
class Batch:
    """The writing of one plan.

    Nothing that gives access is written before the limits and guards written earlier are known to be loaded. `waiting`
    says that an earlier pass wrote some which nobody has seen; `check` raises when another process has taken over.
    Whoever is overtaken at the `fence` is left alone from then on. `heard` hears of each change that Kong said yes to.
    """

    gateway: Gateway
    generation: str
    waiting: bool
    check: Callable[[], None]
    fence: Fence
    heard: Callable[[Change], None] = lambda _: None
    looked: bool = False
    lost: bool = False
    written: list[Change] = field(default_factory=list)
    failures: dict[Owner, str] = field(default_factory=dict)
    left_out: set[Owner] = field(default_factory=set)
    orphans: set[Owner] = field(default_factory=set)

    @property
    def applied(self) -> Applied:
        """What became of the changes so far."""
        return Applied(
            tuple(change for change in self.written if change.entity.owner not in self.fence.overtaken),
            self.failures, frozenset(self.left_out), frozenset(self.orphans), self.lost,
        )  # fmt: skip

    async def write_all(self, changes: Sequence[Change]) -> None:
        """All of `changes` in the order that there is between them."""
        for step in steps(sorted(changes, key=rank)):
            if any(change.gives_access and change.entity.owner.concern not in _FREE for change in step):
                await self._look_for_limits()
            await self.write_rows([change] for change in step)

    async def write_rows(self, rows: Iterable[Sequence[Change]]) -> None:
        """The changes of each row one after the other, some rows at a time."""
        left = iter(rows)

        async def write_some() -> None:
            for row in left:
                for change in row:
                    self.check()
                    await self._write(change)

        async def write_at_once() -> None:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.gateway.writes_at_once):
                    group.create_task(write_some())

        unavailable = None
        try:
            # In a task of its own: Python 3.11.2 leaves the one in which a group failed marked as being cancelled, and
            # then takes its next time-out for that.
            await asyncio.create_task(write_at_once())
        except* KongUnavailable as errors:
            unavailable = _first(errors)  # raised here it would come out in a group again (Python 3.11.2)
        if unavailable is not None:
            raise unavailable

    async def _write(self, change: Change) -> None:
        owner = change.entity.owner
        if (
            owner.concern is Concern.CANARY or owner in self.fence.overtaken
        ):  # the canary has writes of its own
            return
        if (owner in self.failures or owner in self.left_out) and not change.ends_access:
            # a service without its guards gets no route, a consumer without its limits no key; and guards stay while
            # the route that should have left them may still be there
            return
        if change.gives_access and owner.concern not in _FREE and self.waiting:
            self.left_out.add(owner)
            return
        try:
            with self.fence.writing(owner):
                await _write_change(self.gateway, change)
        except KongRejected as error:
            self._refused(change, error)
            return
        self.written.append(change)
        self.heard(change)
        self.waiting = self.waiting or change.loads_slowly

    def _refused(self, change: Change, error: KongRejected) -> None:
        owner = change.entity.owner
        REFUSALS.labels(change.entity.kind).inc()
        log.error("gateway.refused", change=str(change), status=error.status, detail=error.detail)
        if error.lacks_parent:
            self.left_out.add(owner)
            self.orphans.add(owner)
        else:
            self.failures[owner] = error.reason

    async def _look_for_limits(self) -> None:
        if self.waiting and not self.looked:
            self.looked = True  # once in a pass: what is not loaded in time is left to the next
            sighting = await show_canary(self.gateway, f"{self.generation}-limits")
            self.waiting, self.lost = not sighting.seen, sighting.lost
            if not sighting.seen:
                log.warning("gateway.limits_not_loaded", instead=sighting.instead)


async def _write_change(gateway: Gateway, change: Change) -> None:
    """`change` is in Kong."""
    write = gateway.admin.delete if change.action is Action.DELETE else gateway.admin.put
    await write(change.entity)


def _first(errors: BaseExceptionGroup[KongUnavailable]) -> KongUnavailable:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
