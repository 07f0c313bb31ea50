"""The days that billing reads, and which of them are to be published. `db/deltas.py` adds to them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from metering.db.totals import to_totals
from metering.domain.rollup import Totals

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
