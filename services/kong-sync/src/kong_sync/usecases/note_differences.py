"""After a look at all of Kong: know what stands there, and note whoever is not as wished."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from common.db import Database, Scope
from kong_sync.db import applied, due, passes
from kong_sync.domain.diff import Action
from kong_sync.domain.drift import Key, Memory, drift_of
from kong_sync.domain.entities import Concern, Entity, Owner
from kong_sync.domain.progress import Progress, State, Wish, before_apply
from kong_sync.domain.report import Planned
from kong_sync.domain.standing import next_deadlines
from kong_sync.metrics import DRIFT
from kong_sync.usecases.record_progress import record_progress
from kong_sync.usecases.stop_access import StopLane

_ADMIN = Scope(platform_admin=True)
# Owners whose progress is told in one transaction.
_PORTION = 200


@dataclass(slots=True)
class _Found:
    """What is to be corrected in our memory, what drifted, and who differs."""

    drifted: list[Entity] = field(default_factory=list)
    sure: list[Entity] = field(default_factory=list)
    open: list[Entity] = field(default_factory=list)
    gone: list[Entity] = field(default_factory=list)
    differing: set[Owner] = field(default_factory=set)


async def note_differences(
    db: Database, planned: Planned, wanted: dict[Owner, Wish], *, lane: StopLane, now: datetime
) -> None:
    """Everybody whose entities differ from the wish is due, and everybody of whom we have not said the last word.

    What we take for written is what stands in Kong. Those whom the lane or a page touched since we looked are left out.
    """
    async with db.begin(_ADMIN) as session:
        memory = await applied.everything(session)
        known = await due.owners_with_deadline(session)
    # in a large marketplace this takes seconds, in which stops must not wait
    found = await asyncio.to_thread(_compare, planned, memory)
    deadlines = await asyncio.to_thread(next_deadlines, planned.tables, now=now)
    open_ = await _tell(db, {o: wish for o, wish in wanted.items() if o not in lane.touched}, now=now)
    async with lane.turn, db.begin(_ADMIN) as session:
        leaving = lane.touched
        for entity in found.drifted:
            if entity.owner not in leaving:
                DRIFT.labels(entity.kind).inc()
        await applied.put(session, _besides(found.sure, leaving), acknowledged=True)
        await applied.put(session, _besides(found.open, leaving), acknowledged=False)
        await applied.forget(session, [entity.key for entity in _besides(found.gone, leaving)])
        if any(owner.concern is Concern.CANARY for owner in found.differing):
            await passes.saw(session, seen=False)
        differing = {owner for owner in found.differing - leaving if owner.concern is not Concern.CANARY}
        await due.note(session, sorted(differing | open_, key=lambda owner: (owner.concern, owner.id)))
        await due.note_deadlines(
            session, {owner: at for owner, at in deadlines.items() if owner not in known}
        )


async def _tell(db: Database, wanted: dict[Owner, Wish], *, now: datetime) -> set[Owner]:
    """New wishes are told as pending; whose last word is not said."""
    owners, open_ = list(wanted), set[Owner]()
    for start in range(0, len(owners), _PORTION):
        some = {owner: wanted[owner] for owner in owners[start : start + _PORTION]}
        async with db.begin(_ADMIN) as session:
            progress = await record_progress(
                session, some, lambda _, wish, told: before_apply(wish, told), now=now
            )
        open_ |= {owner for owner, one in progress.items() if _is_open(wanted[owner], one)}
    return open_


def _compare(planned: Planned, memory: Memory) -> _Found:
    """Our memory should say what Kong has, as far as it is ours, but for what is withheld: that is left over."""
    changes = {change.entity.key: change for change in planned.plan.changes}
    withheld = {change.entity.key for change in planned.plan.withheld}
    present = {entity.key: entity for entity in planned.actual}
    found = _Found(differing={change.entity.owner for change in planned.plan.changes})
    found.drifted = [
        drift.entity for key in changes if (drift := drift_of(memory, key, present.get(key))) is not None
    ]
    sure: dict[Key, Entity] = {}
    open_: dict[Key, Entity] = {}
    for entity in (*planned.desired, *planned.actual):
        key = entity.key
        if entity.owner.concern is Concern.CANARY or key in sure or key in open_ or key in withheld:
            continue
        change = changes.get(key)
        if change is None:
            sure[key] = entity
        elif change.action is not Action.CREATE:
            open_[key] = entity
    written = memory.all
    found.sure = [entity for key, entity in sure.items() if written.get(key) != entity]
    found.open = [entity for key, entity in open_.items() if written.get(key) != applied.uncertain(entity)]
    found.gone = [entity for key, entity in written.items() if key not in sure and key not in open_]
    return found


def _besides(entities: Iterable[Entity], owners: set[Owner]) -> list[Entity]:
    return [entity for entity in entities if entity.owner not in owners]


def _is_open(wish: Wish, told: Progress) -> bool:
    """The last word on it is not said: not because of what it waits for."""
    if told.state is State.PENDING:
        return wish.waiting_for is None or told.reason != wish.waiting_for
    return told.state in {State.APPLIED, State.FAILED}
