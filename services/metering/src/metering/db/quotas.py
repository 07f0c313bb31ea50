"""Quota counters (organisation x API x month, exact, in the batch's own transaction) and the state last announced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from metering.db.arrays import cast, literal
from metering.domain.rollup import Counter, QuotaUse

_COUNTERS = f"{cast('orgs', 'uuid')}, {cast('apis', 'uuid')}, {cast('months', 'date')}"
_ADD = text(f"""
    INSERT INTO quota_usage AS t (consumer_org, api_id, month, provider_org, units)
    SELECT * FROM unnest({_COUNTERS}, {cast("providers", "uuid")}, {cast("units", "bigint")})
    ON CONFLICT (consumer_org, api_id, month) DO UPDATE SET units = t.units + excluded.units
    RETURNING consumer_org, api_id, month, units""")
_TOUCH = text("""
    INSERT INTO quota_usage (consumer_org, api_id, month, provider_org, units)
    VALUES (:org, :api, :month, :provider, 0) ON CONFLICT DO NOTHING""")
_LOCK = text("""
    SELECT units FROM quota_usage WHERE consumer_org = :org AND api_id = :api AND month = :month FOR UPDATE""")
_STANDINGS = text(f"""
    SELECT s.subscription_id, consumer_org, api_id, c.month, c.units AS used, s.quota, q.version AS announced_version,
        q.quota AS announced_quota, q.state AS announced_state
    FROM unnest({_COUNTERS}, {cast("units", "bigint")})
            AS c (consumer_org, api_id, month, units)
        JOIN subscription AS s USING (consumer_org, api_id)
        LEFT JOIN quota_state AS q ON q.subscription_id = s.subscription_id AND q.month = c.month
    WHERE s.status NOT IN ('canceled', 'rejected') AND (s.quota IS NOT NULL OR q.subscription_id IS NOT NULL)
    ORDER BY s.subscription_id, c.month""")
_PUT = text("""
    INSERT INTO quota_state (subscription_id, month, version, quota, used, state)
    VALUES (:subscription_id, :month, :version, :quota, :used, :state)
    ON CONFLICT (subscription_id, month) DO UPDATE SET version = excluded.version, quota = excluded.quota,
        used = excluded.used, state = excluded.state""")
_SINCE = text("""
    SELECT subscription_id, month, version, quota, used, state FROM quota_state
    WHERE month >= :month ORDER BY subscription_id, month""")
_SHOWN = text("""
    SELECT s.subscription_id, s.api_id, s.quota, coalesce(u.units, 0) AS used
    FROM subscription AS s LEFT JOIN quota_usage AS u
        ON u.consumer_org = s.consumer_org AND u.api_id = s.api_id AND u.month = :month
    WHERE s.status NOT IN ('canceled', 'rejected', 'pending_approval')
        AND (CAST(:subscription_id AS uuid) IS NULL OR s.subscription_id = :subscription_id)
        AND (CAST(:after AS uuid) IS NULL OR s.subscription_id > :after)
    ORDER BY s.subscription_id LIMIT :limit""")


@dataclass(frozen=True, slots=True)
class QuotaRow:
    """What was last announced of a subscription's quota in a month."""

    subscription_id: UUID
    month: date
    version: int
    quota: int
    used: int
    state: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A subscription's use and quota in a month, beside what was last announced of it."""

    subscription_id: UUID
    consumer_org: UUID
    api_id: UUID
    month: date
    used: int
    quota: int | None
    announced_version: int | None
    announced_quota: int | None
    announced_state: str | None

    @property
    def counter(self) -> Counter:
        """What its use is counted under."""
        return Counter(str(self.consumer_org), str(self.api_id), self.month)


async def add(session: AsyncSession, uses: Mapping[Counter, QuotaUse]) -> dict[Counter, int]:
    """Raise the counters, in one order of locks; their values as they now stand, held until the commit."""
    if not uses:
        return {}
    keys = sorted(uses)
    rows = await session.execute(
        _ADD,
        {
            **_names(keys),
            "providers": literal(uses[k].provider_org for k in keys), "units": literal(uses[k].units for k in keys),
        },
    )  # fmt: skip
    return {Counter(str(r.consumer_org), str(r.api_id), r.month): r.units for r in rows}


def _names(keys: Sequence[Counter]) -> dict[str, str]:
    return {
        "orgs": literal(k.consumer_org for k in keys), "apis": literal(k.api_id for k in keys),
        "months": literal(k.month for k in keys),
    }  # fmt: skip


async def lock(session: AsyncSession, counter: Counter, *, provider_org: UUID) -> int:
    """The counter's value, held until the commit: no batch can cross a limit while a new limit is being judged."""
    key = {"org": counter.consumer_org, "api": counter.api_id, "month": counter.month}
    await session.execute(_TOUCH, key | {"provider": provider_org})
    return int(await session.scalar(_LOCK, key) or 0)


async def standings(session: AsyncSession, counters: Mapping[Counter, int]) -> list[Standing]:
    """Of the living subscriptions that share `counters`, those that have a quota or were told of one."""
    if not counters:
        return []
    keys = sorted(counters)
    rows = await session.execute(
        _STANDINGS,
        {**_names(keys), "units": literal(counters[k] for k in keys)},
    )
    return [Standing(**row) for row in rows.mappings()]


async def put_state(session: AsyncSession, row: QuotaRow) -> None:
    """Remember what is announced in this transaction."""
    await session.execute(_PUT, {name: getattr(row, name) for name in QuotaRow.__slots__})


async def announced_since(session: AsyncSession, month: date) -> list[QuotaRow]:
    """What was announced for `month` and later ones."""
    return [QuotaRow(**row) for row in (await session.execute(_SINCE, {"month": month})).mappings()]


async def list_quotas(
    session: AsyncSession, *, month: date, subscription_id: UUID | None, after: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """Each running subscription with its quota and what it used in `month`, in id order."""
    values = {"month": month, "subscription_id": subscription_id, "after": after, "limit": limit}
    return [dict(row) for row in (await session.execute(_SHOWN, values)).mappings()]
