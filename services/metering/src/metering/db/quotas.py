"""Quota counters (organisation x API x month, exact, in the batch's own transaction) and the state last announced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from metering.db.arrays import cast, literal
from metering.domain.rollup import Counter, QuotaUse

_COUNTERS = f"{cast('orgs', 'uuid')}, {cast('apis', 'uuid')}, {cast('months', 'date')}"
# Of counters as they stand: those where there may be something to say. Below the warning, and never told of another
# state, there is nothing; so it is for nearly all that a batch touches.
_STANDINGS = """
    SELECT s.subscription_id, consumer_org, api_id, c.month, c.units AS used, s.quota, q.version AS announced_version,
        q.quota AS announced_quota, q.state AS announced_state
    FROM {counters} AS c (consumer_org, api_id, month, units)
        JOIN subscription AS s USING (consumer_org, api_id)
        LEFT JOIN quota_state AS q ON q.subscription_id = s.subscription_id AND q.month = c.month
    WHERE s.status NOT IN ('canceled', 'rejected') AND (c.units >= s.quota * 0.9 OR q.state <> 'ok')
    ORDER BY s.subscription_id, c.month"""
_ADD = text(f"""
    WITH raised AS (
        INSERT INTO quota_usage AS t (consumer_org, api_id, month, provider_org, units)
        SELECT * FROM unnest({_COUNTERS}, {cast("providers", "uuid")}, {cast("units", "bigint")})
        ON CONFLICT (consumer_org, api_id, month) DO UPDATE SET units = t.units + excluded.units
        RETURNING consumer_org, api_id, month, units)
    {_STANDINGS.format(counters="raised")}""")
_STANDING = text(_STANDINGS.format(
    counters="(VALUES (CAST(:org AS uuid), CAST(:api AS uuid), CAST(:month AS date), CAST(:units AS bigint)))"
))  # fmt: skip
_TOUCH = text("""
    INSERT INTO quota_usage (consumer_org, api_id, month, provider_org, units)
    VALUES (:org, :api, :month, :provider, 0) ON CONFLICT DO NOTHING""")
_LOCK = text("""
    SELECT units FROM quota_usage WHERE consumer_org = :org AND api_id = :api AND month = :month FOR UPDATE""")
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


async def add(session: AsyncSession, uses: Mapping[Counter, QuotaUse]) -> list[Standing]:
    """Raise the counters, in one order of locks, which are held until the commit. Of the living subscriptions that
    share them, those come back that are at their warning or beyond, or were told of another state than ok.
    """
    if not uses:
        return []
    keys = sorted(uses)
    rows = await session.execute(
        _ADD,
        {
            "orgs": literal(k.consumer_org for k in keys), "apis": literal(k.api_id for k in keys),
            "months": literal(k.month for k in keys), "providers": literal(uses[k].provider_org for k in keys),
            "units": literal(uses[k].units for k in keys),
        },
    )  # fmt: skip
    return [Standing(**row) for row in rows.mappings()]


async def lock(session: AsyncSession, counter: Counter, *, provider_org: UUID) -> int:
    """The counter's value, held until the commit: no batch can cross a limit while a new limit is being judged."""
    key = {"org": counter.consumer_org, "api": counter.api_id, "month": counter.month}
    await session.execute(_TOUCH, key | {"provider": provider_org})
    return int(await session.scalar(_LOCK, key) or 0)


async def standings(session: AsyncSession, counter: Counter, *, units: int) -> list[Standing]:
    """The subscriptions of a counter that stands at `units`, as after `add`."""
    key = {"org": counter.consumer_org, "api": counter.api_id, "month": counter.month, "units": units}
    return [Standing(**row) for row in (await session.execute(_STANDING, key)).mappings()]


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
