"""Queries on memberships."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from accounts.db.organisations import to_organisation
from accounts.db.tables import membership, organisation, platform_user
from accounts.domain.membership import Membership, Role
from accounts.domain.platform_token import Seat

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True, slots=True)
class Colleague:
    """A membership together with what its organisation may know of the person."""

    membership: Membership
    email: str | None
    name: str | None


def _to_membership(row: Row[Any]) -> Membership:
    fields = {column.name: row._mapping[column] for column in membership.c}
    return Membership(**fields | {"role": Role(fields["role"])})


def _is(member: Membership) -> Any:
    return (membership.c.organisation_id == member.organisation_id) & (membership.c.user_id == member.user_id)


async def insert_if_absent(session: AsyncSession, new: Membership) -> bool:
    """False, and nothing is written, when the person is a member already."""
    statement = insert(membership).values(asdict(new)).on_conflict_do_nothing()
    return bool((await session.execute(statement.returning(membership.c.user_id))).all())


async def find(session: AsyncSession, *, organisation_id: UUID, user_id: UUID) -> Membership | None:
    """The person's membership in the organisation, if the caller may see one."""
    statement = select(membership).where(
        membership.c.organisation_id == organisation_id, membership.c.user_id == user_id
    )
    row = (await session.execute(statement)).one_or_none()
    return None if row is None else _to_membership(row)


async def count_owners(session: AsyncSession, organisation_id: UUID) -> int:
    """How many owners the organisation has."""
    owners = (membership.c.organisation_id == organisation_id) & (membership.c.role == Role.OWNER)
    return (await session.execute(select(func.count()).select_from(membership).where(owners))).scalar_one()


async def update_role(session: AsyncSession, changed: Membership) -> None:
    """The stored role is that of `changed`."""
    await session.execute(update(membership).where(_is(changed)).values(role=changed.role))


async def remove(session: AsyncSession, ended: Membership) -> None:
    """The membership is gone."""
    await session.execute(delete(membership).where(_is(ended)))


async def seats(session: AsyncSession, user_id: UUID) -> Sequence[Seat]:
    """Every organisation of this person with the membership in it."""
    statement = (
        select(membership, organisation)
        .join(organisation, organisation.c.id == membership.c.organisation_id)
        .where(membership.c.user_id == user_id)
    )
    return [Seat(to_organisation(row), _to_membership(row)) for row in await session.execute(statement)]


async def list_colleagues(
    session: AsyncSession, organisation_id: UUID, *, after: UUID | None, limit: int
) -> Sequence[Colleague]:
    """At most `limit` members of the organisation, in the order of their ids, after the id `after`."""
    statement = (
        select(membership, platform_user.c.email, platform_user.c.name)
        .join(platform_user, platform_user.c.id == membership.c.user_id)
        .where(membership.c.organisation_id == organisation_id)
        .order_by(membership.c.user_id)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(membership.c.user_id > after)
    return [Colleague(_to_membership(row), row.email, row.name) for row in await session.execute(statement)]
