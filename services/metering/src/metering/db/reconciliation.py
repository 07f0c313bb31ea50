"""Rollups recomputed from raw rows and compared: a table in one statement, so that no batch is half seen.

What was found each night is kept.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from metering.db.request_log import reach
from metering.db.totals import HISTOGRAM, RAW_HISTOGRAM, RAW_TOTALS
from metering.domain.latency import UPPER_MS, from_digits
from metering.domain.lateness import next_month, start_of
from metering.domain.rollup import (
    TOTALS,
    ApiKey,
    BucketKey,
    CountryKey,
    EndpointKey,
    ErrorKey,
    SubscriptionKey,
)

_MOST_DIFFERENCES = 1_000
_LIVE = (
    "subscription_id IS NOT NULL AND plan_version_id IS NOT NULL AND consumer_org IS NOT NULL AND NOT is_test"
)


@dataclass(frozen=True, slots=True)
class Difference:
    """A stored row that is not what the raw rows add up to: of each total that differs, (recomputed, stored)."""

    table: str
    bucket: str
    key: dict[str, str | None]
    totals: dict[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many rows of a table were compared, and which differ (at most a thousand are named)."""

    table: str
    compared: int
    differences: list[Difference]


@dataclass(frozen=True, slots=True)
class _Rollup:
    table: str
    time: str
    bucket: str
    keys: tuple[str, ...]
    only: str
    totals: tuple[str, ...] = TOTALS
    latencies: bool = True

    @property
    def source(self) -> str:
        """What is read: the table with what is not folded into it yet."""
        return f"{self.table}_now"


_ROLLUPS = (
    _Rollup(
        "usage_records_hourly",
        "hour_start",
        "date_trunc('hour', started_at, 'UTC')",
        BucketKey._fields,
        "true",
    ),
    _Rollup("usage_records_daily", "day", "(started_at AT TIME ZONE 'UTC')::date", BucketKey._fields, "true"),
    _Rollup(
        "subscription_day",
        "day",
        "(started_at AT TIME ZONE 'UTC')::date",
        ("subscription_id", "plan_version_id"),
        _LIVE,
        latencies=False,
    ),
    _Rollup(
        "usage_subscription_hourly",
        "hour_start",
        "date_trunc('hour', started_at, 'UTC')",
        SubscriptionKey._fields,
        "true",
    ),
    _Rollup(
        "usage_api_hourly",
        "hour_start",
        "date_trunc('hour', started_at, 'UTC')",
        ("provider_org", *ApiKey._fields),
        "true",
    ),
    _Rollup(
        "usage_endpoint_daily",
        "day",
        "(started_at AT TIME ZONE 'UTC')::date",
        ("provider_org", *EndpointKey._fields),
        "true",
    ),
    _Rollup(
        "usage_country_daily",
        "day",
        "(started_at AT TIME ZONE 'UTC')::date",
        CountryKey._fields,
        "country IS NOT NULL",
    ),
    _Rollup(
        "usage_errors_daily",
        "day",
        "(started_at AT TIME ZONE 'UTC')::date",
        ErrorKey._fields,
        "status >= 400",
        ("calls",),
        latencies=False,
    ),
)
_QUOTAS = text("""
    WITH counted AS (
        SELECT consumer_org, api_id, date_trunc('month', day)::date AS month, sum(units)::bigint AS units
        FROM subscription_day_now WHERE day >= :low AND day < :high GROUP BY 1, 2, 3)
    SELECT consumer_org, api_id, month, coalesce(c.units, 0) AS recomputed, coalesce(q.units, 0) AS stored,
        count(*) OVER () AS compared
    FROM counted AS c FULL JOIN (SELECT * FROM quota_usage WHERE month >= :low AND month < :high) AS q
        USING (consumer_org, api_id, month)
    ORDER BY coalesce(c.units, 0) = coalesce(q.units, 0), consumer_org, api_id, month LIMIT :most""")


# The oldest partition is where raw rows begin: of the days before, nothing is left to compare with.
_BOUNDS = text("""
    WITH oldest AS (
        SELECT min(to_date(right(c.relname, 7), 'YYYY_MM')) AS month FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'public.api_requests_log'::regclass)
    SELECT greatest(o.month, least(r.first, h.first, d.first, p.first)) AS first,
        greatest(r.last, h.last, d.last, p.last) + 1 AS last
    FROM oldest o,
        (SELECT (min(started_at) AT TIME ZONE 'UTC')::date AS first, (max(started_at) AT TIME ZONE 'UTC')::date AS last
         FROM api_requests_log) AS r,
        (SELECT (min(hour_start) AT TIME ZONE 'UTC')::date AS first, (max(hour_start) AT TIME ZONE 'UTC')::date AS last
         FROM usage_records_hourly) AS h,
        (SELECT min(day) AS first, max(day) AS last FROM usage_records_daily) AS d,
        (SELECT (min(hour_start) AT TIME ZONE 'UTC')::date AS first, (max(hour_start) AT TIME ZONE 'UTC')::date AS last
         FROM (SELECT hour_start FROM usage_delta UNION ALL SELECT hour_start FROM usage_pending) AS d) AS p""")
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtext('metering nightly reconciliation'))")
_NIGHT = text("""
    SELECT day, first, last, started_at, finished_at, compared, differing, found FROM reconciliation_run
    WHERE CAST(:before AS date) IS NULL OR day < :before ORDER BY day DESC LIMIT :limit""")
_KEEP = text("""
    INSERT INTO reconciliation_run (day, first, last, started_at, finished_at, compared, differing, found)
    VALUES (:day, :first, :last, :started_at, :finished_at, CAST(:compared AS jsonb), :differing, CAST(:found AS jsonb))
    ON CONFLICT (day) DO NOTHING""")


@dataclass(frozen=True, slots=True)
class Night:
    """What the reconciliation of one night found over the days [first, last)."""

    day: date
    first: date
    last: date
    started_at: datetime
    finished_at: datetime
    compared: dict[str, int]
    differing: int
    found: list[Difference]


def _statement(rollup: _Rollup) -> str:
    """Raw rows and stored rows in one heap, summed by key: what differs has two sums. GROUP BY puts NULLs together."""
    keys = ", ".join(rollup.keys)
    totals, stored = rollup.totals, ", ".join(rollup.totals)
    raw = ", ".join(f"{RAW_TOTALS[name]} AS {name}" for name in totals)
    if rollup.latencies:
        totals, raw, stored = (*totals, HISTOGRAM), f"{raw}, {RAW_HISTOGRAM}", f"{stored}, {HISTOGRAM}"
    sums = ", ".join(
        f"coalesce(sum({t}) FILTER (WHERE is_raw), 0) AS raw_{t},"
        f" coalesce(sum({t}) FILTER (WHERE NOT is_raw), 0) AS stored_{t}"
        for t in totals
    )
    differs = " OR ".join(f"raw_{t} <> stored_{t}" for t in totals)
    return (
        f"WITH heap AS (SELECT true AS is_raw, {rollup.bucket} AS bucket, {keys}, {raw} FROM api_requests_log"
        f" WHERE started_at >= :start AND started_at < :end AND {rollup.only}"
        f" UNION ALL SELECT false, {rollup.time}, {keys}, {stored} FROM {rollup.source}"
        f" WHERE {rollup.time} >= :low AND {rollup.time} < :high),"
        f" compared AS (SELECT bucket, {keys}, {sums} FROM heap GROUP BY bucket, {keys})"
        f" SELECT *, {differs} AS differs, count(*) OVER () AS compared FROM compared"
        f" ORDER BY NOT ({differs}), bucket LIMIT :most"
    )


async def compare(session: AsyncSession, *, first: date, last: date) -> list[Comparison]:
    """Hours, days and subscriptions' days against raw rows, quota counters against days, for whole days [first, last).

    The quota counters are compared for whole months within the range. What lies before the first raw row that is kept
    is not compared: nothing is left to recompute it from.
    """
    start, end = max(start_of(first), (await reach(session)).rows_from), start_of(last)
    result = []
    for rollup in _ROLLUPS:
        by_instant = rollup.time == "hour_start"
        bounds: dict[str, Any] = {"start": start, "end": end, "most": _MOST_DIFFERENCES}
        bounds |= {"low": start, "high": end} if by_instant else {"low": start.date(), "high": last}
        rows = (await session.execute(text(_statement(rollup)), bounds)).mappings().all()
        differences = [_difference(rollup, row) for row in rows if row["differs"]]
        result.append(Comparison(rollup.table, rows[0]["compared"] if rows else 0, differences))
    return [*result, await compare_quotas(session, first=first, last=last)]


def _difference(rollup: _Rollup, row: Any) -> Difference:
    return Difference(
        rollup.table,
        row["bucket"].isoformat(),
        {key: None if row[key] is None else str(row[key]) for key in rollup.keys},
        {
            t: (int(row[f"raw_{t}"]), int(row[f"stored_{t}"]))
            for t in rollup.totals
            if row[f"raw_{t}"] != row[f"stored_{t}"]
        }
        | (_latencies(row) if rollup.latencies else {}),
    )


def _latencies(row: Any) -> dict[str, tuple[int, int]]:
    raw, stored = (from_digits(f"{row[f'{side}_{HISTOGRAM}']:f}") for side in ("raw", "stored"))
    return {
        f"latency_up_to_{UPPER_MS[bucket]}_ms": (raw.get(bucket, 0), stored.get(bucket, 0))
        for bucket in sorted(raw | stored) if raw.get(bucket) != stored.get(bucket)
    }  # fmt: skip


async def compare_quotas(session: AsyncSession, *, first: date, last: date) -> Comparison:
    """Quota counters against subscriptions' days, for the whole months within [first, last)."""
    low = first if first.day == 1 else next_month(first)
    high = max(low, last.replace(day=1))
    bounds = {"low": low, "high": high, "most": _MOST_DIFFERENCES}
    rows = (await session.execute(_QUOTAS, bounds)).mappings().all()
    differences = [
        Difference(
            "quota_usage", row["month"].isoformat(),
            {"consumer_org": str(row["consumer_org"]), "api_id": str(row["api_id"])},
            {"units": (row["recomputed"], row["stored"])},
        )
        for row in rows if row["recomputed"] != row["stored"]
    ]  # fmt: skip
    return Comparison("quota_usage", rows[0]["compared"] if rows else 0, differences)


async def bounds(session: AsyncSession) -> tuple[date, date] | None:
    """The days [first, last) of which there is anything to compare; None when there is nothing."""
    row = (await session.execute(_BOUNDS)).first()
    if row is None or row.first is None or row.last is None or row.last <= row.first:
        return None
    return row.first, row.last


async def claim_night(session: AsyncSession) -> bool:
    """This transaction is the one that reconciles; False while another one does."""
    return bool(await session.scalar(_TRY_LOCK))


async def nights(session: AsyncSession, *, before: date | None = None, limit: int = 1) -> list[Night]:
    """The nights before `before` (None: all), the last one first."""
    rows = (await session.execute(_NIGHT, {"before": before, "limit": limit})).mappings().all()
    return [Night(**{**row, "found": [Difference(**item) for item in row["found"]]}) for row in rows]


async def keep_night(session: AsyncSession, night: Night) -> None:
    """What was found is stored; a night that was stored before stays as it is."""
    values = asdict(night)
    values |= {"compared": json.dumps(night.compared), "found": json.dumps(values["found"])}
    await session.execute(_KEEP, values)


def merged(windows: Sequence[Comparison]) -> list[Comparison]:
    """One comparison for each table."""
    tables: dict[str, Comparison] = {}
    for found in windows:
        before = tables.get(found.table, Comparison(found.table, 0, []))
        named = [*before.differences, *found.differences][:_MOST_DIFFERENCES]
        tables[found.table] = Comparison(found.table, before.compared + found.compared, named)
    return list(tables.values())
