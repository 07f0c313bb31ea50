"""Rows of `organisation`, the copy of what accounts publishes."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.db.tables import organisation


@dataclass(frozen=True, slots=True)
class Organisation:
    """An organisation as far as the catalogue needs it."""

    organisation_id: UUID
    version: int
    slug: str
    name: str | None
    status: str


async def find(session: AsyncSession, organisation_id: UUID) -> Organisation | None:
    """The organisation, or None when nothing was heard of it yet."""
    return await _first(session, organisation.c.organisation_id == organisation_id)


async def find_by_slug(session: AsyncSession, slug: str) -> Organisation | None:
    """The organisation that has this slug now, or None."""
    return await _first(session, organisation.c.slug == slug)


async def insert_if_absent(session: AsyncSession, new: Organisation) -> None:
    """The organisation is known; what is known already stays."""
    await session.execute(insert(organisation).values(_values(new)).on_conflict_do_nothing())


async def put(session: AsyncSession, newer: Organisation) -> bool:
    """Whether `newer` was newer than what was known, and is stored."""
    statement = insert(organisation).values(_values(newer))
    changed = {name: value for name, value in _values(newer).items() if name != "organisation_id"}
    statement = statement.on_conflict_do_update(
        index_elements=["organisation_id"],
        set_=changed,
        where=statement.excluded.version > organisation.c.version,
    )
    return (await session.execute(statement.returning(organisation.c.version))).first() is not None


async def _first(session: AsyncSession, condition: Any) -> Organisation | None:
    query = select(organisation).where(condition).order_by(organisation.c.version.desc())
    row = (await session.execute(query)).first()
    return Organisation(**row._mapping) if row else None


def _values(value: Organisation) -> dict[str, Any]:
    return {column.name: getattr(value, column.name) for column in organisation.c}
