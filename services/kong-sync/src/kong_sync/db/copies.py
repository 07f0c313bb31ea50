"""Our copies of other services' aggregates. A put applies only a higher version; nothing is ever removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Table, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from kong_sync.db.tables import api_copy, api_key_copy, api_version_copy, quota_copy, subscription_copy
from kong_sync.domain.limits import Limits
from kong_sync.domain.records import Api, ApiSettings, ApiVersion, Key, Phase, Quota, Subscription, Tables


async def put_api(session: AsyncSession, api: Api) -> None:
    """The copy is at least as new as `api`."""
    await _put(
        session,
        api_copy,
        {**asdict(api), "cors_origins": list(api.cors_origins), "settings": _settings_json(api.settings)},
    )


async def put_version(session: AsyncSession, version: ApiVersion) -> None:
    """The copy is at least as new as `version`."""
    await _put(session, api_version_copy, asdict(version))


async def put_subscription(session: AsyncSession, subscription: Subscription) -> None:
    """The copy is at least as new as `subscription`."""
    override = subscription.limits_override
    values = {
        **asdict(subscription),
        "limits_override": asdict(override) if override else None,
        "phases": [_phase_json(phase) for phase in subscription.phases],
    }
    await _put(session, subscription_copy, values)


async def put_key(session: AsyncSession, key: Key) -> None:
    """The copy is at least as new as `key`."""
    await _put(session, api_key_copy, asdict(key))  # limits too: a dataclass in it becomes a plain mapping


async def put_quota(session: AsyncSession, quota: Quota) -> None:
    """The copy is at least as new as `quota`."""
    await _put(session, quota_copy, asdict(quota), key=("subscription_id", "period"))


async def all_tables(session: AsyncSession) -> Tables:
    """Everything that the desired state is made of, as of one instant."""
    apis = [_api(row) for row in await _rows(session, api_copy)]
    versions = [ApiVersion(**row) for row in await _rows(session, api_version_copy)]
    subscriptions = [_subscription(row) for row in await _rows(session, subscription_copy)]
    keys = [_key(row) for row in await _rows(session, api_key_copy)]
    quotas = [Quota(**row) for row in await _rows(session, quota_copy)]
    return Tables(
        apis={api.id: api for api in apis},
        versions={version.id: version for version in versions},
        subscriptions={subscription.id: subscription for subscription in subscriptions},
        keys={key.id: key for key in keys},
        quotas={(quota.subscription_id, quota.period): quota for quota in quotas},
    )


async def _put(
    session: AsyncSession, table: Table, values: Mapping[str, Any], *, key: Sequence[str] = ("id",)
) -> None:
    statement = insert(table).values(**values)
    newer = {name: statement.excluded[name] for name in values if name not in key}
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=list(key), set_=newer, where=statement.excluded.version > table.c.version
        )
    )


async def _rows(session: AsyncSession, table: Table) -> list[dict[str, Any]]:
    return [dict(row) for row in (await session.execute(select(table))).mappings()]


def _api(row: dict[str, Any]) -> Api:
    origins, settings = tuple(row["cors_origins"]), _settings(row["settings"])
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


def _key(row: dict[str, Any]) -> Key:
    limits = row["limits"]
    return Key(**{**row, "limits": Limits(**limits) if limits else None})


def _subscription(row: dict[str, Any]) -> Subscription:
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
    }


def _phase(stored: dict[str, Any]) -> Phase:
    until = stored["until"]
    return Phase(
        stored["plan_version_id"],
        datetime.fromisoformat(stored["since"]),
        datetime.fromisoformat(until) if until else None,
        Limits(**stored["limits"]),
        stored.get("units_header"),  # copies of before it was told have none
    )
