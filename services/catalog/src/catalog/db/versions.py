"""Rows of `api_version`."""

from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.db.tables import api_version
from catalog.domain.api import ApiVersion, VersionState
from catalog.domain.errors import VersionNotFound


def _to_version(row: Row[Any]) -> ApiVersion:
    values = dict(row._mapping)
    return ApiVersion(**values | {"state": VersionState(values["state"])})


async def find(session: AsyncSession, api_id: UUID, name: str) -> ApiVersion | None:
    """The version of this name, or None."""
    query = select(api_version).where(api_version.c.api_id == api_id, api_version.c.name == name)
    row = (await session.execute(query)).first()
    return _to_version(row) if row else None


async def get(session: AsyncSession, api_id: UUID, name: str) -> ApiVersion:
    """The version of this name, or VersionNotFound."""
    found = await find(session, api_id, name)
    if found is None:
        raise VersionNotFound(name)
    return found


async def get_latest(session: AsyncSession, api_id: UUID) -> ApiVersion | None:
    """The one latest version, or None while there is no version."""
    query = select(api_version).where(api_version.c.api_id == api_id, api_version.c.is_latest)
    row = (await session.execute(query)).first()
    return _to_version(row) if row else None


async def list_of_api(session: AsyncSession, api_id: UUID) -> list[ApiVersion]:
    """Every version of the API, the newest first."""
    query = select(api_version).where(api_version.c.api_id == api_id).order_by(api_version.c.id.desc())
    return [_to_version(row) for row in await session.execute(query)]


async def count(session: AsyncSession, api_id: UUID) -> int:
    """How many versions the API has."""
    query = select(func.count()).where(api_version.c.api_id == api_id)
    return await session.scalar(query) or 0


async def all_after(session: AsyncSession, after: UUID | None, *, limit: int) -> list[ApiVersion]:
    """Every version in id order, a batch at a time; for publishing them again."""
    query = select(api_version).order_by(api_version.c.id).limit(limit)
    rows = await session.execute(query if after is None else query.where(api_version.c.id > after))
    return [_to_version(row) for row in rows]


async def insert_if_absent(session: AsyncSession, new: ApiVersion) -> bool:
    """Whether the version is new; False when the API has one of this name."""
    statement = (
        insert(api_version).values(_values(new)).on_conflict_do_nothing(index_elements=["api_id", "name"])
    )
    return (await session.execute(statement.returning(api_version.c.id))).first() is not None


async def update_version(session: AsyncSession, changed: ApiVersion) -> None:
    """The row is as `changed` says. Its caller holds the lock of the API's row."""
    statement = update(api_version).where(api_version.c.id == changed.id)
    await session.execute(statement.values(_values(changed)))


def _values(value: ApiVersion) -> dict[str, Any]:
    return {column.name: getattr(value, column.name) for column in api_version.c}
