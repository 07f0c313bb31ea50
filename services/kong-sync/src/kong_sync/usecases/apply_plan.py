"""Write a plan to Kong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from common.log import get_logger
from kong_sync.clients.errors import KongRejected
from kong_sync.clients.gateway import Gateway
from kong_sync.domain.diff import Action, Change
from kong_sync.domain.entities import Concern, Owner
from kong_sync.domain.report import Applied, Planned
from kong_sync.metrics import REFUSALS
from kong_sync.usecases.show_canary import show_canary

log = get_logger()
_FREE = frozenset({Concern.PROBE, Concern.CANARY})


async def apply_plan(
    gateway: Gateway, planned: Planned, *, unseen: bool, check: Callable[[], None],
    interrupt: asyncio.Event | None = None,
) -> Applied:  # fmt: skip
    """Every change was written, or its owner is named as refused or left out; KongUnavailable ends it half-way.

    Nothing that gives access is written before the limits and guards written earlier are known to be loaded. `unseen`
    says that an earlier pass wrote some which nobody has seen; `check` raises when another process has taken over.
    """
    batch = _Batch(gateway, planned.generation, waiting=unseen, interrupt=interrupt)
    for change in planned.plan.changes:
        check()
        await batch.write(change)
    return Applied(batch.failures, frozenset(batch.left_out), batch.written)


@dataclass(slots=True)
class _Batch:
    gateway: Gateway
    generation: str
    waiting: bool
    interrupt: asyncio.Event | None
    looked: bool = False
    written: int = 0
    failures: dict[Owner, str] = field(default_factory=dict)
    left_out: set[Owner] = field(default_factory=set)

    async def write(self, change: Change) -> None:
        """`change` is in Kong, or its owner is in `failures` or `left_out`."""
        owner = change.entity.owner
        if owner.concern is Concern.CANARY:  # written with each generation
            return
        if (owner in self.failures or owner in self.left_out) and not change.ends_access:
            # a service without its guards gets no route, a consumer without its limits no key; and guards stay while
            # the route that should have left them may still be there
            return
        if change.gives_access and owner.concern not in _FREE and not await self._limits_are_loaded():
            self.left_out.add(owner)
            return
        try:
            await self._put_or_delete(change)
        except KongRejected as error:
            REFUSALS.labels(change.entity.kind).inc()
            log.error("gateway.refused", change=str(change), status=error.status, detail=error.detail)
            self.failures[owner] = error.reason
            return
        self.written += 1
        self.waiting = self.waiting or change.loads_slowly

    async def _put_or_delete(self, change: Change) -> None:
        if change.action is Action.DELETE:
            await self.gateway.admin.delete(change.entity)
        else:
            await self.gateway.admin.put(change.entity)

    async def _limits_are_loaded(self) -> bool:
        if self.waiting and not self.looked:
            self.looked = True  # once in a pass: what is not loaded in time is left to the next
            sighting = await show_canary(self.gateway, f"{self.generation}-limits", interrupt=self.interrupt)
            self.waiting = not sighting.seen
            if not sighting.seen:
                log.warning("gateway.limits_not_loaded", instead=sighting.instead)
        return not self.waiting
