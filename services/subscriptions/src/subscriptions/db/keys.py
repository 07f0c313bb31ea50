"""Rows of `api_key`. No statement here reads or writes a key in the clear: there is no column for one."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from subscriptions.db.tables import api_key
from subscriptions.domain.api_key import USABLE, ApiKey, KeyStatus, Mode
from subscriptions.domain.errors import KeyNotFound


def _to_key(row: Row[Any]) -> ApiKey:
    values = dict(row._mapping)
    return ApiKey(
        **values
        | {"mode": Mode(row.mode), "status": KeyStatus(row.status), "scopes": tuple(values["scopes"])}
    )


async def get_own(session: AsyncSession, key_id: UUID, *, organisation_id: UUID) -> ApiKey:
    """The organisation's key, locked until the transaction ends."""
    query = select(api_key).where(api_key.c.id == key_id, api_key.c.organisation_id == organisation_id)
    row = (await session.execute(query.with_for_update())).first()
    if row is None:
        raise KeyNotFound(key_id)
    return _to_key(row)


async def list_of_subscription(
    session: AsyncSession, subscription_id: UUID, *, after: UUID | None, limit: int
) -> list[ApiKey]:
    """The subscription's keys, the newest first."""
    return await _list(
        session, select(api_key).where(api_key.c.subscription_id == subscription_id), after, limit
    )


async def list_of_organisation(
    session: AsyncSession, organisation_id: UUID, *, after: UUID | None, limit: int
) -> list[ApiKey]:
    """All keys of the organisation, the newest first."""
    return await _list(
        session, select(api_key).where(api_key.c.organisation_id == organisation_id), after, limit
    )


async def count_usable(session: AsyncSession, subscription_id: UUID) -> int:
    """How many keys of the subscription the gateway lets pass."""
    query = select(func.count()).where(
        api_key.c.subscription_id == subscription_id, api_key.c.status.in_(sorted(USABLE))
    )
    return await session.scalar(query) or 0


async def list_with_share(session: AsyncSession, subscription_id: UUID) -> list[ApiKey]:
    """The subscription's keys that have a share of its calls."""
    query = select(api_key).where(
        api_key.c.subscription_id == subscription_id, api_key.c.share_id.is_not(None)
    )
    return [_to_key(row) for row in await session.execute(query)]


async def claim_over(session: AsyncSession, *, now: datetime, limit: int) -> list[ApiKey]:
    """Usable keys whose time has come, locked; those that somebody else holds are left to them."""
    query = (
        select(api_key)
        .where(api_key.c.status.in_(sorted(USABLE)), api_key.c.expires_at <= now)
        .order_by(api_key.c.expires_at, api_key.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [_to_key(row) for row in await session.execute(query)]


async def all_after(session: AsyncSession, after: UUID | None, *, limit: int) -> list[ApiKey]:
    """Every key in id order, a batch at a time; for publishing them again."""
    query = select(api_key).order_by(api_key.c.id).limit(limit)
    rows = await session.execute(query if after is None else query.where(api_key.c.id > after))
    return [_to_key(row) for row in rows]


async def insert_key(session: AsyncSession, new: ApiKey) -> None:
    """The key is there."""
    await session.execute(insert(api_key).values(_values(new)))


async def update_key(session: AsyncSession, changed: ApiKey) -> None:
    """The key is as `changed` says. Its caller holds the row's lock."""
    await session.execute(update(api_key).where(api_key.c.id == changed.id).values(_values(changed)))


async def _list(session: AsyncSession, query: Select[Any], after: UUID | None, limit: int) -> list[ApiKey]:
    if after is not None:
        query = query.where(api_key.c.id < after)
    rows: Sequence[Row[Any]] = (await session.execute(query.order_by(api_key.c.id.desc()).limit(limit))).all()
    return [_to_key(row) for row in rows]


def _values(value: ApiKey) -> dict[str, Any]:
    return {column.name: getattr(value, column.name) for column in api_key.c} | {"scopes": list(value.scopes)}
