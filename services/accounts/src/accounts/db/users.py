"""Queries on people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, func, select
from sqlalchemy.dialects.postgresql import insert

from accounts.db.tables import platform_user
from accounts.domain.errors import UserNotFound
from accounts.domain.user import Identity, User, normalised_email

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

_COLUMNS = [c for c in platform_user.c if c.name != "updated_at"]


def _to_user(row: Row[Any]) -> User:
    return User(**row._mapping)


async def upsert(session: AsyncSession, known: Identity, *, user_id: UUID, now: datetime) -> User:
    """The person of this identity, made with `user_id` if new; what the issuer says now replaces what it said before.

    A token without an address or a name takes none away: access tokens often carry neither.
    """
    new = insert(platform_user).values(
        id=user_id, issuer=known.issuer, subject=known.subject, email=known.email,
        email_verified=known.email_verified, name=known.name, created_at=now, updated_at=now,
    )  # fmt: skip
    changes: dict[str, Any] = {"updated_at": now}
    if known.email is not None:
        changes |= {"email": known.email, "email_verified": known.email_verified}
    if known.name is not None:
        changes["name"] = known.name
    statement = new.on_conflict_do_update(index_elements=["issuer", "subject"], set_=changes).returning(
        *_COLUMNS
    )
    return _to_user((await session.execute(statement)).one())


async def get(session: AsyncSession, user_id: UUID) -> User:
    """The person; UserNotFound when there is none that the caller may see."""
    row = (await session.execute(select(*_COLUMNS).where(platform_user.c.id == user_id))).one_or_none()
    if row is None:
        raise UserNotFound
    return _to_user(row)


async def find_by_email(session: AsyncSession, address: str) -> User | None:
    """The person with this verified address who signed in first, if any."""
    matches = platform_user.c.email_verified & (
        func.lower(platform_user.c.email) == normalised_email(address)
    )
    statement = select(*_COLUMNS).where(matches).order_by(platform_user.c.id).limit(1)
    row = (await session.execute(statement)).one_or_none()
    return None if row is None else _to_user(row)


async def list_page(session: AsyncSession, *, after: UUID | None, limit: int) -> Sequence[User]:
    """At most `limit` people whom the caller may see, in id order, after the id `after`."""
    statement = select(*_COLUMNS).order_by(platform_user.c.id).limit(limit)
    if after is not None:
        statement = statement.where(platform_user.c.id > after)
    return [_to_user(row) for row in await session.execute(statement)]
