"""Our copies of other services' aggregates. A put applies only a higher version; nothing is ever removed.

What was applied makes its owner due in the same transaction.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Table, Uuid, cast, column, func, or_, select, true
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession

from kong_sync.db import blocked, due
from kong_sync.db.tables import api_copy, api_key_copy, api_version_copy, quota_copy, subscription_copy
from kong_sync.domain.entities import Concern, Owner
from kong_sync.domain.limits import Limits
from kong_sync.domain.records import (
    Api,
    ApiSettings,
    ApiVersion,
    Endpoint,
    Key,
    Phase,
    Quota,
    Subscription,
    Tables,
)

Rows = Sequence[Mapping[str, Any]]


async def put_api(session: AsyncSession, api: Api) -> None:
    """The copy is at least as new as `api`."""
    before = await session.scalar(select(api_copy.c.provider_id).where(api_copy.c.id == api.id))
    values = {
        **asdict(api),
        "cors_origins": list(api.cors_origins),
        "settings": _settings_json(api.settings),
    }
    if await _put(session, api_copy, values):
        await due.note(session, [Owner(Concern.API, api.id)])
        if before not in {None, api.provider_id}:
            await due.note(session, [Owner(Concern.PROVIDER, str(before))])


async def put_version(session: AsyncSession, version: ApiVersion) -> None:
    """The copy is at least as new as `version`."""
    if await _put(session, api_version_copy, asdict(version)):
        await due.note(session, [Owner(Concern.API, version.api_id)])


async def put_subscription(session: AsyncSession, subscription: Subscription) -> None:
    """The copy is at least as new as `subscription`."""
    override = subscription.limits_override
    values = {
        **asdict(subscription),
        "limits_override": asdict(override) if override else None,
        "phases": [_phase_json(phase) for phase in subscription.phases],
    }
    if await _put(session, subscription_copy, values):
        if subscription.status == "active":
            await due.note(session, [Owner(Concern.SUBSCRIPTION, subscription.id)])
        else:
            await due.note_stop(session, subscription.id)


async def put_key(session: AsyncSession, key: Key) -> None:
    """The copy is at least as new as `key`."""
    before = await session.scalar(select(api_key_copy.c.scopes).where(api_key_copy.c.id == key.id))
    if await _put(session, api_key_copy, {**asdict(key), "scopes": list(key.scopes)}):
        if key.is_dead or set(before or ()) - set(key.scopes):
            await due.note_stop(session, key.subscription_id)
        else:
            await due.note(session, [Owner(Concern.SUBSCRIPTION, key.subscription_id)])


async def put_quota(session: AsyncSession, quota: Quota) -> None:
    """The copy is at least as new as `quota`."""
    if await _put(session, quota_copy, asdict(quota), key=("subscription_id", "period")):
        if quota.state == "reached":
            await due.note_stop(session, quota.subscription_id)
        else:
            await due.note(session, [Owner(Concern.SUBSCRIPTION, quota.subscription_id)])


async def all_tables(session: AsyncSession) -> Tables:
    """Everything that the desired state is made of."""
    return await _tables(session, apis=true(), versions=true(), subscriptions=true(), of_subscription=true())


async def tables_of(session: AsyncSession, owners: Iterable[Owner]) -> Tables:
    """What the wishes of `owners` are made of: an API with its provider's others, a subscription with its keys."""
    ids: dict[Concern, list[str]] = defaultdict(list)
    for owner in owners:
        ids[owner.concern].append(owner.id)
    providers = select(api_copy.c.provider_id).where(_among(api_copy.c.id, ids[Concern.API]))
    apis = or_(_among(api_copy.c.provider_id, ids[Concern.PROVIDER]), api_copy.c.provider_id.in_(providers))
    versions = or_(
        _among(api_version_copy.c.api_id, ids[Concern.API]),
        api_version_copy.c.api_id.in_(select(api_copy.c.id).where(apis)),
    )
    subscriptions = ids[Concern.SUBSCRIPTION]
    return await _tables(
        session, apis=apis, versions=versions, subscriptions=_among(subscription_copy.c.id, subscriptions),
        of_subscription=_among(column("subscription_id", Uuid(as_uuid=False)), subscriptions),
    )  # fmt: skip


async def _tables(
    session: AsyncSession, *, apis: ColumnElement[bool], versions: ColumnElement[bool],
    subscriptions: ColumnElement[bool], of_subscription: ColumnElement[bool],
) -> Tables:  # fmt: skip
    found = [
        await _rows(session, table, condition)
        for table, condition in (
            (api_copy, apis), (api_version_copy, versions), (subscription_copy, subscriptions),
            (api_key_copy, of_subscription), (quota_copy, of_subscription),
        )
    ]  # fmt: skip
    everywhere = await blocked.addresses(session) if found[0] else []
    return await asyncio.to_thread(_made, found, everywhere)  # perhaps of all rows, and stops must not wait


def _made(found: Sequence[Rows], everywhere: Sequence[str]) -> Tables:
    apis, versions, subscriptions, keys, quotas = found
    made_quotas = [Quota(**row) for row in quotas]
    return Tables(
        apis={row["id"]: _api(row, everywhere) for row in apis},
        versions={row["id"]: _version(row) for row in versions},
        subscriptions={row["id"]: _subscription(row) for row in subscriptions},
        keys={row["id"]: _key(row) for row in keys},
        quotas={(quota.subscription_id, quota.period): quota for quota in made_quotas},
    )


def _among(which: ColumnElement[Any], ids: Sequence[str]) -> ColumnElement[bool]:
    return which == func.any(cast([id_ for id_ in ids if is_uuid(id_)], ARRAY(Uuid(as_uuid=False))))


def is_uuid(text: str) -> bool:
    """It may be the id of a row. (What tells whose an entity is stands in its tags, which anybody may edit.)"""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


async def _put(
    session: AsyncSession, table: Table, values: Mapping[str, Any], *, key: Sequence[str] = ("id",)
) -> bool:
    """Whether `values` were newer than what stood there."""
    statement = insert(table).values(**values)
    newer = {name: statement.excluded[name] for name in values if name not in key}
    result = await session.execute(
        statement.on_conflict_do_update(
            index_elements=list(key), set_=newer, where=statement.excluded.version > table.c.version
        ).returning(table.c.version)
    )
    return result.first() is not None


async def _rows(session: AsyncSession, table: Table, condition: ColumnElement[bool]) -> Rows:
    return [dict(row) for row in (await session.execute(select(table).where(condition))).mappings()]


def _api(row: Mapping[str, Any], everywhere: Sequence[str]) -> Api:
    origins, settings = tuple(row["cors_origins"]), _settings(row["settings"]).blocking(everywhere)
    return Api(**{**row, "cors_origins": origins, "settings": settings})


def _settings_json(settings: ApiSettings) -> dict[str, Any]:
    until = settings.maintenance_until
    return {**asdict(settings), "maintenance_until": until.isoformat() if until else None}


def _settings(stored: dict[str, Any]) -> ApiSettings:
    """The settings as stored; copies of before they were told have none, and so the defaults."""
    if not stored:
        return ApiSettings()
    until = stored["maintenance_until"]
    parts = {
        "blocked_ips": tuple(stored["blocked_ips"]),
        "set_headers": tuple((name, value) for name, value in stored["set_headers"]),
        "remove_headers": tuple(stored["remove_headers"]),
        "maintenance_until": datetime.fromisoformat(until) if until else None,
    }
    return ApiSettings(**{**stored, **parts})


def _version(row: Mapping[str, Any]) -> ApiVersion:
    endpoints = tuple(
        Endpoint(one["method"], one["path"], None if one["scopes"] is None else tuple(one["scopes"]))
        for one in row["endpoints"]
    )
    return ApiVersion(**{**row, "endpoints": endpoints})


def _key(row: Mapping[str, Any]) -> Key:
    limits = row["limits"]
    scopes = tuple(row["scopes"])
    return Key(**{**row, "limits": Limits(**limits) if limits else None, "scopes": scopes})


def _subscription(row: Mapping[str, Any]) -> Subscription:
    override = row["limits_override"]
    return Subscription(
        **{
            **row,
            "limits_override": Limits(**override) if override else None,
            "phases": tuple(_phase(phase) for phase in row["phases"]),
        }
    )


def _phase_json(phase: Phase) -> dict[str, Any]:
    return {
        "plan_version_id": phase.plan_version_id,
        "since": phase.since.isoformat(),
        "until": phase.until.isoformat() if phase.until else None,
        "limits": asdict(phase.limits),
        "units_header": phase.units_header,
        "units_cap": phase.units_cap,
        "counted_statuses": list(phase.counted_statuses),
    }


def _phase(stored: dict[str, Any]) -> Phase:
    until = stored["until"]
    return Phase(
        stored["plan_version_id"],
        datetime.fromisoformat(stored["since"]),
        datetime.fromisoformat(until) if until else None,
        Limits(**stored["limits"]),
        # Copies of before these were told have none.
        stored.get("units_header"),
        stored.get("units_cap"),
        tuple(stored.get("counted_statuses", ())),
    )
