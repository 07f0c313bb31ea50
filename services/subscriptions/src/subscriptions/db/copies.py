"""Rows of the copies of other services' state: APIs, plans, standing, gateway, quota, use. Higher versions win."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Table, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from subscriptions.db.tables import api, api_version, gateway_state, key_use, plan, quota, standing
from subscriptions.domain.subscription import ApiCopy, Gateway, PlanCopy, Quota, Standing

_LOCK_STANDING = text("SELECT pg_advisory_xact_lock(hashtextextended('standing ' || :organisation, 0))")


async def put_api(session: AsyncSession, copy: ApiCopy) -> None:
    """The API is known as `copy` says, unless something newer is known."""
    await _put(session, api, ["api_id"], asdict(copy))


async def put_plan(session: AsyncSession, copy: PlanCopy) -> None:
    """The plan is known as `copy` says, unless something newer is known."""
    await _put(session, plan, ["plan_id"], asdict(copy))


async def put_version(session: AsyncSession, values: Mapping[str, Any]) -> None:
    """The version of an API is known as `values` say, unless something newer is known."""
    await _put(session, api_version, ["version_id"], values)


async def put_gateway(session: AsyncSession, subscription_id: UUID, value: Gateway, *, version: int) -> None:
    """What is known of the subscription at the gateway is this, unless something newer is known."""
    values = {"subscription_id": subscription_id, "version": version} | asdict(value)
    await _put(session, gateway_state, ["subscription_id"], values)


async def put_quota(session: AsyncSession, subscription_id: UUID, value: Quota, *, version: int) -> None:
    """What is known of the subscription's month is this, unless something newer is known."""
    values = {"subscription_id": subscription_id, "version": version} | asdict(value)
    await _put(session, quota, ["subscription_id", "period"], values)


async def put_key_use(session: AsyncSession, values: Mapping[str, Any]) -> None:
    """The key was last used then, unless something newer is known."""
    await _put(session, key_use, ["key_id"], values)


async def put_standing(session: AsyncSession, values: Mapping[str, Any]) -> bool:
    """Whether this was newer than what was known of the organisation's standing, and is stored."""
    return await _put(session, standing, ["organisation_id"], values)


async def find_plan(session: AsyncSession, plan_id: UUID) -> PlanCopy | None:
    """The plan, or None when nothing was heard of it or the session's scope may not see it."""
    row = (await session.execute(select(plan).where(plan.c.plan_id == plan_id))).first()
    return PlanCopy(**row._mapping) if row else None


async def find_api(session: AsyncSession, api_id: UUID) -> ApiCopy | None:
    """The API, or None when nothing was heard of it or the session's scope may not see it."""
    row = (await session.execute(select(api).where(api.c.api_id == api_id))).first()
    return ApiCopy(**row._mapping) if row else None


async def known_scopes(session: AsyncSession, api_id: UUID) -> frozenset[str]:
    """The scopes that any version of the API asks for, those that were switched off aside."""
    query = select(api_version.c.scopes).where(
        api_version.c.api_id == api_id, api_version.c.state != "sunset"
    )
    return frozenset(scope for scopes in await session.scalars(query) for scope in scopes)


async def lock_standing(session: AsyncSession, organisation_id: UUID) -> None:
    """Until the transaction ends, nobody else decides by this organisation's standing, or changes it.

    Otherwise a subscription could become active between billing's word and the pausing of all active ones.
    """
    await session.execute(_LOCK_STANDING, {"organisation": str(organisation_id)})


async def get_standing(session: AsyncSession, organisation_id: UUID) -> Standing:
    """The organisation's standing; good until billing says otherwise."""
    query = select(standing.c.standing).where(standing.c.organisation_id == organisation_id)
    return Standing(await session.scalar(query) or Standing.GOOD)


async def gateways(session: AsyncSession, ids: Sequence[UUID]) -> dict[UUID, Gateway]:
    """What is known at the gateway of each subscription that was reported."""
    rows = await session.execute(select(gateway_state).where(gateway_state.c.subscription_id.in_(ids)))
    return {row.subscription_id: Gateway(row.state, row.reason) for row in rows}


async def last_uses(session: AsyncSession, keys: Sequence[UUID]) -> dict[UUID, datetime]:
    """When each of the keys was last used, to the minute; those that never were are left out."""
    rows = await session.execute(select(key_use).where(key_use.c.key_id.in_(keys)))
    return {row.key_id: row.last_used_at for row in rows}


async def find_quota(session: AsyncSession, subscription_id: UUID) -> Quota | None:
    """The newest month that metering told of, or None."""
    query = select(quota).where(quota.c.subscription_id == subscription_id).order_by(quota.c.period.desc())
    row = (await session.execute(query.limit(1))).first()
    return Quota(row.period, row.limit, row.used, row.state, row.until) if row else None


async def _put(session: AsyncSession, table: Table, key: list[str], values: Mapping[str, Any]) -> bool:
    statement = insert(table).values(dict(values))
    changed = {name: value for name, value in values.items() if name not in key}
    statement = statement.on_conflict_do_update(
        index_elements=key, set_=changed, where=statement.excluded.version > table.c.version
    )
    return (await session.execute(statement.returning(table.c.version))).first() is not None
