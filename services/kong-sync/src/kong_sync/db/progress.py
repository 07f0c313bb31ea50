"""What we told of the gateway, by API and by subscription."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Uuid, cast, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from kong_sync.db.copies import is_uuid
from kong_sync.db.tables import gateway_progress
from kong_sync.domain.entities import Concern, Owner
from kong_sync.domain.progress import Progress, State

# Arrays: a list of many values would be compiled anew for each number of them.
_PUT = text("""
    INSERT INTO gateway_progress (
        concern, id, version, organisation_id, state, reason, fingerprint, proxy_url, wished_at, changed_at)
    SELECT *, :now FROM unnest(
        CAST(:concerns AS text[]), CAST(:ids AS uuid[]), CAST(:versions AS bigint[]), CAST(:organisations AS uuid[]),
        CAST(:states AS text[]), CAST(:reasons AS text[]), CAST(:fingerprints AS text[]), CAST(:urls AS text[]),
        CAST(:wished AS timestamptz[]))
    ON CONFLICT (concern, id) DO UPDATE SET
        version = excluded.version, organisation_id = excluded.organisation_id, state = excluded.state,
        reason = excluded.reason, fingerprint = excluded.fingerprint, proxy_url = excluded.proxy_url,
        wished_at = excluded.wished_at, changed_at = excluded.changed_at""")


@dataclass(frozen=True, slots=True)
class Told:
    """A progress as stored. `wished_at` is when the present wish was noted."""

    owner: Owner
    version: int
    organisation_id: str
    progress: Progress
    wished_at: datetime


async def all_told(session: AsyncSession) -> dict[Owner, Told]:
    """Every progress."""
    rows = (await session.execute(select(gateway_progress))).mappings()
    return {told.owner: told for told in (_told(dict(row)) for row in rows)}


async def told_of(session: AsyncSession, owners: Collection[Owner]) -> dict[Owner, Told]:
    """The progress of each of `owners` of whom we told any."""
    ids = [owner.id for owner in owners if is_uuid(owner.id)]
    table = gateway_progress
    query = select(table).where(table.c.id == func.any(cast(ids, ARRAY(Uuid(as_uuid=False)))))
    told = (_told(dict(row)) for row in (await session.execute(query)).mappings())
    return {one.owner: one for one in told if one.owner in owners}


async def find(session: AsyncSession, owner: Owner) -> Told | None:
    """The progress of `owner`, None when there is none that the caller may see."""
    query = select(gateway_progress).where(
        gateway_progress.c.concern == owner.concern, gateway_progress.c.id == owner.id
    )
    row = (await session.execute(query)).mappings().first()
    return _told(dict(row)) if row else None


async def put_all(session: AsyncSession, many: Iterable[Told], *, now: datetime) -> None:
    """Each is stored as given."""
    values = [_values(told) for told in many]
    if values:
        columns = {name: [one[name] for one in values] for name in values[0]}
        await session.execute(_PUT, {**columns, "now": now})


async def count_by_state(session: AsyncSession) -> dict[str, dict[str, int]]:
    """How many of each concern are in each state."""
    table = gateway_progress.c
    query = select(table.concern, table.state, func.count()).group_by(table.concern, table.state)
    counts: dict[str, dict[str, int]] = {}
    for concern, state, count in await session.execute(query):
        counts.setdefault(concern, {})[state] = count
    return counts


def _values(told: Told) -> dict[str, Any]:
    progress = told.progress
    return {
        "concerns": told.owner.concern.value, "ids": told.owner.id, "versions": told.version,
        "organisations": told.organisation_id, "states": progress.state.value, "reasons": progress.reason,
        "fingerprints": progress.fingerprint, "urls": progress.proxy_url, "wished": told.wished_at,
    }  # fmt: skip


def _told(row: dict[str, Any]) -> Told:
    progress = Progress(State(row["state"]), row["reason"], row["fingerprint"], row["proxy_url"])
    owner = Owner(Concern(row["concern"]), row["id"])
    return Told(owner, row["version"], row["organisation_id"], progress, row["wished_at"])
