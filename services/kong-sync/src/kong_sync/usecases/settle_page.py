"""What was written for a page is known, told, and not due any more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy.ext.asyncio import AsyncSession

from common.clock import Clock
from common.db import Database, Scope
from kong_sync.db import applied as applied_entities
from kong_sync.db import due
from kong_sync.domain.diff import Change
from kong_sync.domain.entities import Owner
from kong_sync.domain.progress import Progress, State, Wish, after_apply, switched_off, unreachable
from kong_sync.domain.report import Applied
from kong_sync.usecases.plan_page import Page, Portion
from kong_sync.usecases.record_progress import record_progress
from kong_sync.usecases.stop_access import StopLane

_ADMIN = Scope(platform_admin=True)
# A refusal stays until somebody does something about it; what was only not loaded yet is looked at again soon.
_REFUSED_AGAIN, _UNSEEN_AGAIN = timedelta(seconds=15), timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a page.

    `seen` says whether the canary was, None where nobody looked; `unavailable`, that the gateway did not answer to the
    end; `enabled`, that there is one.
    """

    page: Page
    applied: Applied
    seen: bool | None
    unavailable: bool = False
    enabled: bool = True


async def settle_page(db: Database, clock: Clock, lane: StopLane, written: Written) -> None:
    """Every owner of the page has been told of, and is due again only where it did not go to the end.

    Whoever was stopped meanwhile is left to a later page, and so is everybody where the gateway did not answer.
    """
    made: dict[Owner, list[Change]] = defaultdict(list)
    for change in written.applied.written:
        made[change.entity.owner].append(change)
    for portion in written.page.portions:
        async with lane.turn, db.begin(_ADMIN) as session:
            # as of now: of whoever was stopped since, the lane knows better what stands there
            owners = portion.owners - lane.fence.overtaken
            await applied_entities.acknowledge(
                session, [change for owner in owners for change in made.get(owner, ())]
            )
            await _settle(session, portion, owners, written, now=clock.now())


async def _settle(
    session: AsyncSession, portion: Portion, owners: frozenset[Owner], written: Written, *, now: datetime
) -> None:
    wanted = {owner: wish for owner, wish in portion.wishes.items() if owner in owners}
    if written.unavailable:
        await record_progress(session, wanted, lambda _, wish, told: unreachable(wish, told), now=now)
        return
    if not written.enabled:
        await record_progress(session, wanted, lambda _, wish, __: switched_off(wish), now=now)
        await due.settle(session, portion.notes, portion.deadlines)
        return
    after = partial(_after, applied=written.applied, seen=written.seen is not False)
    progress = await record_progress(session, wanted, after, now=now)
    # an owner who was planned with another portion is not due any more either
    notes = [note for note in portion.notes if note.owner in owners or note.owner not in portion.owners]
    again = {note.owner: portion.deadlines[note.owner] for note in notes if note.owner in portion.deadlines}
    for owner, at in _again(written.applied, progress, now=now).items():
        if owner in owners:
            again[owner] = min(at, again.get(owner, at))
    await due.settle(session, notes, again)


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
