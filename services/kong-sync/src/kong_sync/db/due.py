"""Whose wishes are to be brought to the gateway next.

A note is a row of its own: one that comes in while an earlier one is being served is not lost with it, and whoever
notes never waits for whoever serves. A note with a time is a deadline: until then it lies still.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from kong_sync.domain.entities import Concern, Owner

_NOTE = text("""
    INSERT INTO due_owner (concern, id, due_at)
    SELECT * FROM unnest(CAST(:concerns AS text[]), CAST(:ids AS text[]), CAST(:times AS timestamptz[]))""")
# Whoever has several notes is served once for all of them.
_TAKE = text("""
    WITH ready AS MATERIALIZED (
        SELECT * FROM due_owner
        WHERE (due_at IS NULL OR due_at <= :now) AND (concern, id) NOT IN (
            SELECT * FROM unnest(CAST(:concerns AS text[]), CAST(:ids AS text[])))),
    first AS (
        SELECT concern, id, concern NOT IN ('probe', 'platform') AS later, min(seq) AS seq FROM ready
        GROUP BY concern, id ORDER BY later, seq LIMIT :limit)
    SELECT ready.seq, concern, id,
        extract(epoch FROM clock_timestamp() - coalesce(due_at, noted_at))::float AS waited
    FROM first JOIN ready USING (concern, id) ORDER BY later, ready.seq""")
# A note only says that there is something to look at: the rows decide, as domain/standing.py has it.
_NOTE_STOP = text("INSERT INTO due_owner (concern, id, stops) VALUES ('subscription', :id, true)")
_STOPS = text("""
    SELECT id, array_agg(seq) AS seqs,
        extract(epoch FROM clock_timestamp() - min(noted_at))::float AS waited
    FROM due_owner
    WHERE stops AND seq <> ALL (CAST(:besides AS bigint[])) AND EXISTS (
        SELECT FROM applied_entity
        WHERE concern = 'subscription' AND owner_id = due_owner.id AND kind IN ('acls', 'key-auths') OFFSET 0)
    GROUP BY id ORDER BY min(seq) LIMIT :limit""")
_NOTE_APIS = text("INSERT INTO due_owner (concern, id) SELECT 'api', id::text FROM api_copy ORDER BY id")
_NEXT = text("SELECT min(coalesce(due_at, :now)) FROM due_owner")
_OWNERS_WITH_DEADLINE = text("SELECT DISTINCT concern, id FROM due_owner WHERE due_at IS NOT NULL")
_DONE = text("DELETE FROM due_owner WHERE seq = ANY(CAST(:seqs AS bigint[]))")
_FORGET_DEADLINES = text("""
    DELETE FROM due_owner WHERE due_at IS NOT NULL AND (concern, id) IN (
        SELECT * FROM unnest(CAST(:concerns AS text[]), CAST(:ids AS text[])))""")


@dataclass(frozen=True, slots=True)
class Note:
    """That an owner is due. `waited` is for how many seconds: since the note, or its time."""

    seq: int
    owner: Owner
    waited: float


@dataclass(frozen=True, slots=True)
class Stopping:
    """Notes that some of an owner's calls may have to be stopped, the first of them `waited` seconds old."""

    seqs: frozenset[int]
    waited: float


async def note(session: AsyncSession, owners: Iterable[Owner]) -> None:
    """Each of `owners` is due now."""
    await note_deadlines(session, dict.fromkeys(owners))


async def note_stop(session: AsyncSession, subscription_id: str) -> None:
    """The subscription is due now, and calls of it may have to be stopped: that comes first."""
    await session.execute(_NOTE_STOP, {"id": subscription_id})


async def note_all_apis(session: AsyncSession) -> None:
    """Every API is due now."""
    await session.execute(_NOTE_APIS)


async def note_deadlines(session: AsyncSession, times: Mapping[Owner, datetime | None]) -> None:
    """Each owner is due at its time, or now."""
    if times:
        await session.execute(_NOTE, {**_columns(times), "times": list(times.values())})


async def take(
    session: AsyncSession, *, now: datetime, limit: int, besides: Collection[Owner] = ()
) -> list[Note]:
    """All notes of the first `limit` owners who are due at `now`. None of `besides`.

    Those of the platform's own come first: everybody else's entities hang on them, or are seen through them.
    """
    rows = await session.execute(_TAKE, {"now": now, "limit": limit, **_columns(besides)})
    return [Note(row.seq, Owner(Concern(row.concern), row.id), row.waited) for row in rows]


async def stops(session: AsyncSession, *, limit: int, besides: Collection[int]) -> dict[Owner, Stopping]:
    """The first `limit` subscriptions of whom a stop was noted, and who have access in Kong, or may have.

    Notes in `besides` do not count.
    """
    rows = await session.execute(_STOPS, {"limit": limit, "besides": list(besides)})
    return {Owner(Concern.SUBSCRIPTION, row.id): Stopping(frozenset(row.seqs), row.waited) for row in rows}


async def settle(session: AsyncSession, notes: Iterable[Note], again: Mapping[Owner, datetime]) -> None:
    """`notes` are served: their owners are due again at the time in `again`, or with their next note."""
    served = list(notes)
    await session.execute(_DONE, {"seqs": [one.seq for one in served]})
    await session.execute(_FORGET_DEADLINES, _columns({*again, *(one.owner for one in served)}))
    await note_deadlines(session, again)


async def owners_with_deadline(session: AsyncSession) -> set[Owner]:
    """Everybody who is due at some time to come."""
    return {Owner(Concern(row.concern), row.id) for row in await session.execute(_OWNERS_WITH_DEADLINE)}


async def next_at(session: AsyncSession, *, now: datetime) -> datetime | None:
    """When somebody is due next: `now` if somebody is already, None if nobody will be without a new note."""
    found: datetime | None = (await session.execute(_NEXT, {"now": now})).scalar()
    return found


def _columns(owners: Collection[Owner]) -> dict[str, list[str]]:
    return {"concerns": [owner.concern.value for owner in owners], "ids": [owner.id for owner in owners]}
