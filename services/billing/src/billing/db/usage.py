"""What metering told us: daily usage to show, totals that close a cut-off, late corrections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from billing.domain.lines import UsageTotal
from billing.domain.period import Period


@dataclass(frozen=True, slots=True)
class Day:
    """One day's usage so far of a subscription under one plan version."""

    subscription_id: UUID
    plan_version_id: UUID
    day: date
    version: int
    organisation_id: UUID
    api_id: UUID
    calls: int
    billable_calls: int
    units: int


@dataclass(frozen=True, slots=True)
class Total:
    """A total up to a cut-off."""

    subscription_id: UUID
    plan_version_id: UUID
    organisation_id: UUID
    api_id: UUID
    month: date
    calls: int
    billable_calls: int
    units: int


@dataclass(frozen=True, slots=True)
class Adjustment:
    """The new total of a closed month."""

    subscription_id: UUID
    plan_version_id: UUID
    month: date
    version: int
    organisation_id: UUID
    api_id: UUID
    billable_calls: int
    units: int


_PUT_DAY = text("""
    INSERT INTO metered_day AS t (subscription_id, plan_version_id, day, version, organisation_id, api_id, calls,
        billable_calls, units)
    VALUES (:subscription_id, :plan_version_id, :day, :version, :organisation_id, :api_id, :calls, :billable_calls,
        :units)
    ON CONFLICT (subscription_id, plan_version_id, day) DO UPDATE SET version = excluded.version,
        calls = excluded.calls, billable_calls = excluded.billable_calls, units = excluded.units
    WHERE excluded.version > t.version RETURNING 1""")
_PUT_PART = text("""
    INSERT INTO period_part (cutoff_id, part, parts, received_at) VALUES (:cutoff_id, :part, :parts, :now)
    ON CONFLICT DO NOTHING RETURNING part""")
_PUT_TOTALS = text("""
    INSERT INTO period_total (cutoff_id, until, subscription_id, plan_version_id, organisation_id, api_id, month, calls,
        billable_calls, units)
    SELECT :cutoff_id, :until, * FROM unnest(CAST(:subscriptions AS uuid[]), CAST(:plans AS uuid[]),
        CAST(:organisations AS uuid[]), CAST(:apis AS uuid[]), CAST(:months AS date[]), CAST(:calls AS bigint[]),
        CAST(:billable AS bigint[]), CAST(:units AS bigint[]))""")
_PUT_ADJUSTMENT = text("""
    INSERT INTO usage_adjustment AS t (subscription_id, plan_version_id, month, version, organisation_id, api_id,
        billable_calls, units)
    VALUES (:subscription_id, :plan_version_id, :month, :version, :organisation_id, :api_id, :billable_calls, :units)
    ON CONFLICT (subscription_id, plan_version_id, month) DO UPDATE SET version = excluded.version,
        billable_calls = excluded.billable_calls, units = excluded.units
    WHERE excluded.version > t.version""")
_OF_CUTOFF = text("""
    SELECT * FROM period_total WHERE cutoff_id = :cutoff_id AND organisation_id = :organisation_id
    ORDER BY subscription_id, plan_version_id""")
_LATEST = text("""
    SELECT DISTINCT ON (subscription_id, plan_version_id) * FROM period_total
    WHERE organisation_id = :organisation_id AND month = :month
    ORDER BY subscription_id, plan_version_id, until DESC, cutoff_id""")
_ADJUSTED = text("SELECT * FROM usage_adjustment WHERE organisation_id = :organisation_id AND month = :month")
_UNRATED = text("""
    SELECT DISTINCT a.month FROM usage_adjustment a
    WHERE a.organisation_id = :organisation_id AND a.rated_version < a.version AND EXISTS (
        SELECT 1 FROM invoice_run r WHERE r.status <> 'waiting'
            AND r.until = (a.month + interval '1 month')::timestamp AT TIME ZONE 'UTC'
            AND (r.organisation_id IS NULL OR r.organisation_id = a.organisation_id))
    ORDER BY a.month""")
_RATED = text("""
    UPDATE usage_adjustment SET rated_version = version WHERE organisation_id = :organisation_id AND month = :month""")
_SO_FAR = text("""
    SELECT subscription_id, plan_version_id, api_id, sum(calls)::bigint AS calls,
        sum(billable_calls)::bigint AS billable_calls, sum(units)::bigint AS units
    FROM metered_day WHERE organisation_id = :organisation_id AND day >= :first AND day < :end
    GROUP BY subscription_id, plan_version_id, api_id ORDER BY subscription_id, plan_version_id""")
_USERS = text("""
    SELECT organisation_id FROM period_total WHERE cutoff_id = :cutoff_id
    UNION SELECT organisation_id FROM usage_adjustment WHERE rated_version < version
        AND (CAST(:organisation_id AS uuid) IS NULL OR organisation_id = :organisation_id)""")


async def put_day(session: AsyncSession, day: Day) -> bool:
    """The copy of that day is at least as new; False when it was before."""
    return await session.scalar(_PUT_DAY, _values(day)) is not None


async def put_part(
    session: AsyncSession, *, cutoff_id: UUID, part: int, parts: int, until: datetime,
    totals: Sequence[Total], now: datetime,
) -> None:  # fmt: skip
    """One part of a cut-off's totals is here; the same part again changes nothing."""
    names = {"cutoff_id": cutoff_id, "part": part, "parts": parts, "now": now}
    if await session.scalar(_PUT_PART, names) is None or not totals:
        return
    columns = {
        "subscriptions": [t.subscription_id for t in totals],
        "plans": [t.plan_version_id for t in totals],
        "organisations": [t.organisation_id for t in totals],
        "apis": [t.api_id for t in totals],
        "months": [t.month for t in totals],
        "calls": [t.calls for t in totals],
        "billable": [t.billable_calls for t in totals],
        "units": [t.units for t in totals],
    }
    await session.execute(_PUT_TOTALS, {"cutoff_id": cutoff_id, "until": until} | columns)


async def put_adjustment(session: AsyncSession, adjustment: Adjustment) -> None:
    """The month's corrected total is at least as new; the next cut-off rates it."""
    await session.execute(_PUT_ADJUSTMENT, _values(adjustment))


async def of_cutoff(session: AsyncSession, cutoff_id: UUID, organisation_id: UUID) -> list[UsageTotal]:
    """An organisation's totals up to one cut-off."""
    names = {"cutoff_id": cutoff_id, "organisation_id": organisation_id}
    return [_total(row) for row in await session.execute(_OF_CUTOFF, names)]


async def of_closed_month(session: AsyncSession, organisation_id: UUID, month: Period) -> list[UsageTotal]:
    """The last known totals of a month, corrections included."""
    names = {"organisation_id": organisation_id, "month": month.start.date()}
    latest = {
        (r.subscription_id, r.plan_version_id): _total(r) for r in await session.execute(_LATEST, names)
    }
    for row in await session.execute(_ADJUSTED, names):
        before = latest.get((row.subscription_id, row.plan_version_id))
        source = {"step": "metered", "adjustment_version": row.version, "month": row.month.isoformat()}
        calls = max(before.calls if before else 0, row.billable_calls)
        latest[row.subscription_id, row.plan_version_id] = UsageTotal(
            row.subscription_id, row.plan_version_id, row.api_id, calls, row.billable_calls, row.units, source
        )
    return list(latest.values())


async def months_to_adjust(session: AsyncSession, organisation_id: UUID) -> list[date]:
    """Closed months whose totals changed after they were billed."""
    return list((await session.scalars(_UNRATED, {"organisation_id": organisation_id})).all())


async def mark_rated(session: AsyncSession, organisation_id: UUID, month: date) -> None:
    """The month's corrections are on an invoice, or made no difference."""
    await session.execute(_RATED, {"organisation_id": organisation_id, "month": month})


async def so_far(session: AsyncSession, organisation_id: UUID, month: Period) -> list[UsageTotal]:
    """This month's usage as far as metering has published it: to show, never to bill."""
    names = {"organisation_id": organisation_id, "first": month.start.date(), "end": month.end.date()}
    return [
        UsageTotal(
            row.subscription_id, row.plan_version_id, row.api_id, row.calls, row.billable_calls, row.units,
            {"step": "metered", "estimate": True},
        )
        for row in await session.execute(_SO_FAR, names)
    ]  # fmt: skip


async def users(session: AsyncSession, *, cutoff_id: UUID, organisation_id: UUID | None) -> list[UUID]:
    """Organisations with usage at a cut-off, or with corrections that were not rated yet."""
    names = {"cutoff_id": cutoff_id, "organisation_id": organisation_id}
    return list((await session.scalars(_USERS, names)).all())


def _total(row: Row[Any]) -> UsageTotal:
    source = {"step": "metered", "cutoff_id": str(row.cutoff_id), "until": row.until.isoformat()}
    return UsageTotal(
        row.subscription_id, row.plan_version_id, row.api_id, row.calls, row.billable_calls, row.units, source
    )


def _values(record: Day | Adjustment) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__}
