"""What we told of the gateway, by API and by subscription."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Uuid, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession

from kong_sync.db.copies import is_uuid
from kong_sync.db.tables import gateway_progress
from kong_sync.domain.entities import Concern, Owner
from kong_sync.domain.progress import Progress, State


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
    values = [_values(told, now) for told in many]
    for start in range(0, len(values), 1_000):  # a statement takes at most 32,767 parameters
        statement = insert(gateway_progress).values(values[start : start + 1_000])
        newer = {name: statement.excluded[name] for name in values[0] if name not in {"concern", "id"}}
        await session.execute(statement.on_conflict_do_update(index_elements=["concern", "id"], set_=newer))


async def count_by_state(session: AsyncSession) -> dict[str, dict[str, int]]:
    """How many of each concern are in each state."""
    table = gateway_progress.c
    query = select(table.concern, table.state, func.count()).group_by(table.concern, table.state)
    counts: dict[str, dict[str, int]] = {}
    for concern, state, count in await session.execute(query):
        counts.setdefault(concern, {})[state] = count
    return counts


def _values(told: Told, now: datetime) -> dict[str, Any]:
    progress = told.progress
    return {
        "concern": told.owner.concern.value, "id": told.owner.id, "version": told.version,
        "organisation_id": told.organisation_id, "state": progress.state.value, "reason": progress.reason,
        "fingerprint": progress.fingerprint, "proxy_url": progress.proxy_url, "wished_at": told.wished_at,
        "changed_at": now,
    }  # fmt: skip


def _told(row: dict[str, Any]) -> Told:
    progress = Progress(State(row["state"]), row["reason"], row["fingerprint"], row["proxy_url"])
    owner = Owner(Concern(row["concern"]), row["id"])
    return Told(owner, row["version"], row["organisation_id"], progress, row["wished_at"])
