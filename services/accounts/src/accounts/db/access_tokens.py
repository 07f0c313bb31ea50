"""Queries on personal access tokens."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from accounts.db.tables import access_token
from accounts.domain.access_token import AccessToken

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession


async def add(session: AsyncSession, made: AccessToken) -> None:
    """The token is stored, by its hash."""
    await session.execute(insert(access_token).values(asdict(made)))


async def find_by_digest(session: AsyncSession, sha256: str) -> AccessToken | None:
    """The token that hashes to `sha256`, live or not."""
    row = (await session.execute(select(access_token).where(access_token.c.sha256 == sha256))).one_or_none()
    return None if row is None else AccessToken(**row._mapping)


async def touch(session: AsyncSession, token_id: UUID, *, now: datetime) -> None:
    """The token was last used at `now`."""
    await session.execute(update(access_token).where(access_token.c.id == token_id).values(last_used_at=now))


async def revoke(
    session: AsyncSession, token_id: UUID, *, user_id: UUID, now: datetime
) -> AccessToken | None:
    """The person's token ends at `now`, or ended before; None when there is no such token of theirs."""
    own = (access_token.c.id == token_id) & (access_token.c.user_id == user_id)
    await session.execute(
        update(access_token).where(own, access_token.c.revoked_at.is_(None)).values(revoked_at=now)
    )
    row = (await session.execute(select(access_token).where(own))).one_or_none()
    return None if row is None else AccessToken(**row._mapping)


async def list_of_user(
    session: AsyncSession, user_id: UUID, *, after: UUID | None, limit: int
) -> Sequence[AccessToken]:
    """At most `limit` tokens of this person, in id order, after the id `after`."""
    statement = (
        select(access_token).where(access_token.c.user_id == user_id).order_by(access_token.c.id).limit(limit)
    )
    if after is not None:
        statement = statement.where(access_token.c.id > after)
    return [AccessToken(**row._mapping) for row in await session.execute(statement)]
