"""Store and publish how far the gateway is, where that has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from sqlalchemy.ext.asyncio import AsyncSession

from common import outbox
from kong_sync.db import progress as told_progress
from kong_sync.db.progress import Told
from kong_sync.domain.entities import Owner
from kong_sync.domain.progress import Progress, State, Wish
from kong_sync.events.progress import progress_event
from kong_sync.metrics import LIVE_SECONDS

_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
Decide = Callable[[Owner, Wish, Progress | None], Progress]


async def record_progress(
    session: AsyncSession, wishes: Mapping[Owner, Wish], decide: Decide, *, now: datetime,
    since: Mapping[Owner, datetime] = MappingProxyType({}),
) -> dict[Owner, Progress]:  # fmt: skip
    """The progress of every owner as `decide` has it; only what differs from what we told last is published.

    A new wish is as old as `since` says, or of now.
    """
    before = await told_progress.told_of(session, wishes)
    changed: list[Told] = []
    progress: dict[Owner, Progress] = {}
    for owner, wish in wishes.items():
        last = before.get(owner)
        progress[owner] = decide(owner, wish, last.progress if last else None)
        if last is None or progress[owner] != last.progress:
            changed.append(
                _next(owner, wish, progress[owner], last, now=now, wished_at=since.get(owner, now))
            )
    await told_progress.put_all(session, changed, now=now)
    events = (progress_event(told.owner, told.version, told.progress) for told in changed)
    await outbox.publish(session, *events, now=now)
    for told in changed:
        if told.progress.state is State.LIVE:
            LIVE_SECONDS.labels(told.owner.concern).observe((now - told.wished_at).total_seconds())
    return progress


def _next(
    owner: Owner, wish: Wish, progress: Progress, last: Told | None, *, now: datetime, wished_at: datetime
) -> Told:
    # never less than the seconds gone by: after a loss of this table readers still take what we say for newer
    version = max(last.version + 1 if last else 1, int((now - _BEGINNING).total_seconds()))
    same_wish = last is not None and last.progress.fingerprint == progress.fingerprint
    wished_at = last.wished_at if last is not None and same_wish else wished_at
    return Told(owner, version, wish.organisation_id, progress, wished_at)
