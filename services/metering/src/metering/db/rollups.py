"""The days that billing reads: one statement per batch, PostgreSQL adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from operator import attrgetter
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from metering.db.arrays import cast, literal
from metering.db.totals import to_totals
from metering.domain.rollup import TOTALS, SubscriptionDay, SubscriptionDayKey, Totals

_numbers = attrgetter(*TOTALS)
_DAY_COLUMNS = (
    "subscription_id",
    "plan_version_id",
    "day",
    "consumer_org",
    "provider_org",
    "api_id",
    *TOTALS,
)
_DAY_TYPES = {"day": "date"} | dict.fromkeys(TOTALS, "bigint")
_ADD_SUBSCRIPTION_DAYS = text(
    f"INSERT INTO subscription_day ({', '.join(_DAY_COLUMNS)}, version) SELECT *, 1 FROM unnest("
    + ", ".join(cast(name, _DAY_TYPES.get(name, "uuid")) for name in _DAY_COLUMNS)
    + ") ON CONFLICT (subscription_id, plan_version_id, day) DO UPDATE SET "
    + ", ".join(f"{name} = subscription_day.{name} + excluded.{name}" for name in TOTALS)
    + ", version = subscription_day.version + 1"
)


async def add_subscription_days(
    session: AsyncSession, days: Mapping[SubscriptionDayKey, SubscriptionDay]
) -> None:
    """Add the counts to the subscriptions' days; each touched row gets a new version and is due for publication."""
    if not days:
        return
    rows = [
        (*key[:2], key.day, day.consumer_org, day.provider_org, day.api_id, *_numbers(day.totals))
        for key, day in sorted(days.items(), key=lambda item: item[0].order)
    ]
    columns = zip(_DAY_COLUMNS, zip(*rows, strict=True), strict=True)
    parameters = {name: literal(column) for name, column in columns}
    await session.execute(_ADD_SUBSCRIPTION_DAYS, parameters)


_DUE = text("""
    SELECT * FROM subscription_day WHERE version > published_version
    ORDER BY day, subscription_id, plan_version_id LIMIT :limit FOR UPDATE SKIP LOCKED""")
_PUBLISHED = text("""
    UPDATE subscription_day AS d SET published_version = p.version
    FROM unnest(CAST(:subscriptions AS uuid[]), CAST(:plans AS uuid[]), CAST(:days AS date[]),
                CAST(:versions AS int[])) AS p (subscription_id, plan_version_id, day, version)
    WHERE (d.subscription_id, d.plan_version_id, d.day) = (p.subscription_id, p.plan_version_id, p.day)""")
_DUE_COLUMNS = (
    "subscription_id",
    "plan_version_id",
    "day",
    "consumer_org",
    "provider_org",
    "api_id",
    "version",
)
_UNPUBLISH = text("UPDATE subscription_day SET published_version = 0")


@dataclass(frozen=True, slots=True)
class DueDay:
    """A subscription's day that changed since it was last published, with absolute totals."""

    subscription_id: UUID
    plan_version_id: UUID
    day: date
    consumer_org: UUID
    provider_org: UUID
    api_id: UUID
    version: int
    totals: Totals


async def claim_due_days(session: AsyncSession, *, limit: int) -> list[DueDay]:
    """At most `limit` changed days, locked, and marked as published if this transaction commits."""
    rows = (await session.execute(_DUE, {"limit": limit})).mappings().all()
    due = [DueDay(**{n: row[n] for n in _DUE_COLUMNS}, totals=to_totals(row)) for row in rows]
    if due:
        parameters = {
            "subscriptions": [d.subscription_id for d in due], "plans": [d.plan_version_id for d in due],
            "days": [d.day for d in due], "versions": [d.version for d in due],
        }  # fmt: skip
        await session.execute(_PUBLISHED, parameters)
    return due


async def make_all_due(session: AsyncSession) -> int:
    """Every subscription's day is due for publication, at the version that it has; how many there are."""
    return int((await session.execute(_UNPUBLISH)).rowcount)  # type: ignore[attr-defined]
