"""Queries on organisations."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, select, update
from sqlalchemy.dialects.postgresql import insert

from accounts.db.tables import membership, organisation
from accounts.domain.errors import OrganisationNotFound
from accounts.domain.organisation import Organisation, OrganisationStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession


def to_organisation(row: Row[Any]) -> Organisation:
    """The row's organisation columns as a value."""
    fields = {column.name: row._mapping[column] for column in organisation.c}
    return Organisation(**fields | {"status": OrganisationStatus(fields["status"])})


async def insert_if_absent(session: AsyncSession, founded: Organisation) -> bool:
    """False, and nothing is written, when the slug is taken."""
    statement = insert(organisation).values(asdict(founded)).on_conflict_do_nothing(index_elements=["slug"])
    return bool((await session.execute(statement.returning(organisation.c.id))).all())


async def get(session: AsyncSession, organisation_id: UUID) -> Organisation:
    """The organisation; OrganisationNotFound when the caller may not see it."""
    return await _one(session, select(organisation).where(organisation.c.id == organisation_id))


async def lock(session: AsyncSession, organisation_id: UUID) -> Organisation:
    """The organisation, locked until the transaction ends: its members and its state change one at a time."""
    return await _one(
        session, select(organisation).where(organisation.c.id == organisation_id).with_for_update()
    )


async def _one(session: AsyncSession, statement: Any) -> Organisation:
    row = (await session.execute(statement)).one_or_none()
    if row is None:
        raise OrganisationNotFound
    return to_organisation(row)


async def put(session: AsyncSession, changed: Organisation) -> None:
    """The stored organisation is `changed`; it was locked before."""
    statement = update(organisation).where(organisation.c.id == changed.id).values(asdict(changed))
    await session.execute(statement)


async def list_page(session: AsyncSession, *, after: UUID | None, limit: int) -> Sequence[Organisation]:
    """At most `limit` organisations that the caller may see, in id order, after the id `after`."""
    statement = select(organisation).order_by(organisation.c.id).limit(limit)
    if after is not None:
        statement = statement.where(organisation.c.id > after)
    return [to_organisation(row) for row in await session.execute(statement)]


async def list_of_user(
    session: AsyncSession, user_id: UUID, *, after: UUID | None, limit: int
) -> Sequence[Organisation]:
    """At most `limit` organisations that this person belongs to, in id order, after the id `after`."""
    joined = select(organisation).join(membership, membership.c.organisation_id == organisation.c.id)
    statement = joined.where(membership.c.user_id == user_id).order_by(organisation.c.id).limit(limit)
    if after is not None:
        statement = statement.where(organisation.c.id > after)
    return [to_organisation(row) for row in await session.execute(statement)]
