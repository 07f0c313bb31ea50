"""After a look at all of Kong: know what stands there, and note whoever is not as wished."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from kong_sync.db import applied, due, passes
from kong_sync.domain.diff import Action
from kong_sync.domain.drift import Key, drift_of
from kong_sync.domain.entities import Concern, Entity, Owner
from kong_sync.domain.progress import Progress, State, Wish, before_apply
from kong_sync.domain.report import Planned
from kong_sync.domain.standing import next_deadlines
from kong_sync.metrics import DRIFT
from kong_sync.usecases.record_progress import record_progress


async def note_differences(
    session: AsyncSession,
    planned: Planned,
    wanted: dict[Owner, Wish],
    *,
    leaving: Collection[Owner],
    now: datetime,
) -> None:
    """Everybody whose entities differ from the wish is due, and everybody of whom we have not said the last word.

    What we take for written is what stands in Kong. Those in `leaving` were served since we looked, and are left out.
    """
    memory = await applied.everything(session)
    changes = [change for change in planned.plan.changes if change.entity.owner not in leaving]
    present = {entity.key: entity for entity in planned.actual}
    for key in {change.entity.key for change in changes}:
        if drift := drift_of(memory, key, present.get(key)):
            DRIFT.labels(drift.entity.kind).inc()
    await _correct(session, planned, memory.all, leaving)
    progress = await record_progress(
        session,
        {owner: wish for owner, wish in wanted.items() if owner not in leaving},
        lambda _, wish, told: before_apply(wish, told),
        now=now,
    )
    open_ = {owner for owner, one in progress.items() if _is_open(wanted[owner], one)}
    owners = {change.entity.owner for change in changes}
    if any(owner.concern is Concern.CANARY for owner in owners):
        await passes.saw(session, seen=False)
    differing = {owner for owner in owners if owner.concern is not Concern.CANARY}
    await due.note(session, sorted(differing | open_, key=lambda owner: (owner.concern, owner.id)))
    known = await due.owners_with_deadline(session)
    deadlines = next_deadlines(planned.tables, now=now)
    await due.note_deadlines(session, {owner: at for owner, at in deadlines.items() if owner not in known})


async def _correct(
    session: AsyncSession, planned: Planned, written: dict[Key, Entity], leaving: Collection[Owner]
) -> None:
    """Our memory says what Kong has, as far as it is ours, but for what is withheld: that is left over."""
    changes = {change.entity.key: change for change in planned.plan.changes}
    withheld = {change.entity.key for change in planned.plan.withheld}
    sure: dict[Key, Entity] = {}
    open_: dict[Key, Entity] = {}
    for entity in (*planned.desired, *planned.actual):
        change = changes.get(entity.key)
        if entity.owner.concern is Concern.CANARY or any(
            entity.key in one for one in (sure, open_, withheld)
        ):
            continue
        if change is None:
            sure[entity.key] = entity
        elif change.action is not Action.CREATE:
            open_[entity.key] = entity
    stands = {**sure, **{key: applied.uncertain(entity) for key, entity in open_.items()}}
    news = {
        key for key, entity in stands.items() if written.get(key) != entity and entity.owner not in leaving
    }
    await applied.put(session, (sure[key] for key in news & sure.keys()), acknowledged=True)
    await applied.put(session, (open_[key] for key in news & open_.keys()), acknowledged=False)
    gone = [key for key, entity in written.items() if key not in stands and entity.owner not in leaving]
    await applied.forget(session, gone)


def _is_open(wish: Wish, told: Progress) -> bool:
    """The last word on it is not said: not because of what it waits for."""
    if told.state is State.PENDING:
        return wish.waiting_for is None or told.reason != wish.waiting_for
    return told.state in {State.APPLIED, State.FAILED}
