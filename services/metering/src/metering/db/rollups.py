"""Hourly and daily usage, and the days that billing reads: one statement per batch and table; PostgreSQL adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from operator import attrgetter
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from metering.db.arrays import cast, literal
from metering.db.totals import HISTOGRAM, to_totals
from metering.domain.latency import to_digits
from metering.domain.rollup import (
    TOTALS,
    Bucket,
    BucketKey,
    CountryKey,
    Daily,
    ErrorDay,
    ErrorKey,
    Hourly,
    SubscriptionDay,
    SubscriptionDayKey,
    SubscriptionKey,
    Totals,
)

_PARTIES = ("consumer_org", "provider_org")
_COUNTRY = "country"  # the one text among the dimensions, bound as a list: who knows what is written in it
_numbers = attrgetter(*TOTALS)


def _add(
    table: str, *, time: str, time_type: str, dimensions: tuple[str, ...] = BucketKey._fields
) -> TextClause:
    types = {time: time_type, "is_test": "boolean", HISTOGRAM: "numeric"} | dict.fromkeys(TOTALS, "bigint")
    columns = (time, *dimensions, *_PARTIES, *TOTALS, HISTOGRAM)
    arrays = ", ".join(
        f"CAST(:{name} AS text[])" if name == _COUNTRY else cast(name, types.get(name, "uuid"))
        for name in columns
    )
    sums = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in (*TOTALS, HISTOGRAM))
    return text(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM unnest({arrays})"
        f" ON CONFLICT ({', '.join((time, *dimensions))}) DO UPDATE SET {sums}"
    )


_ADD_HOURS = _add("usage_records_hourly", time="hour_start", time_type="timestamptz")
_ADD_DAYS = _add("usage_records_daily", time="day", time_type="date")
_ADD_SUBSCRIPTION_HOURS = _add(
    "usage_subscription_hourly",
    time="hour_start",
    time_type="timestamptz",
    dimensions=SubscriptionKey._fields,
)
_ADD_COUNTRIES = _add("usage_country_daily", time="day", time_type="date", dimensions=CountryKey._fields)

_ERROR_TYPES = {
    "day": "date", "is_test": "boolean", "status": "smallint", "source": "text", "calls": "bigint",
    "last_at": "timestamptz", "example": "text",
}  # fmt: skip
_ERROR_KEYS = ("day", *ErrorKey._fields)
_ERROR_VALUES = (*_PARTIES, "calls", "last_at", "example")
_EXAMPLES_KEPT = 5
_ADD_ERRORS = text(
    f"INSERT INTO usage_errors_daily AS t ({', '.join((*_ERROR_KEYS, *_ERROR_VALUES[:-1]))}, examples)"
    f" SELECT {', '.join((*_ERROR_KEYS, *_ERROR_VALUES[:-1]))}, ARRAY[example] FROM unnest("
    + ", ".join(
        f"CAST(:{name} AS {_ERROR_TYPES.get(name, 'uuid')}[])" for name in (*_ERROR_KEYS, *_ERROR_VALUES)
    )
    + f") AS r ({', '.join((*_ERROR_KEYS, *_ERROR_VALUES))}) ON CONFLICT ({', '.join(_ERROR_KEYS)}) DO UPDATE SET"
    " calls = t.calls + excluded.calls, last_at = greatest(t.last_at, excluded.last_at),"
    f" examples = (excluded.examples || t.examples)[1:{_EXAMPLES_KEPT}]"
)

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


async def add_hours(session: AsyncSession, hours: Hourly) -> None:
    """Add the counts to the hours' rows, sorted by key so that all writers lock in one order."""
    await _add_buckets(session, _ADD_HOURS, "hour_start", hours)


async def add_days(session: AsyncSession, days: Daily) -> None:
    """Add the counts to the days' rows, in the same order of locks."""
    await _add_buckets(session, _ADD_DAYS, "day", days)


async def add_subscription_hours(
    session: AsyncSession, hours: Mapping[tuple[datetime, SubscriptionKey], Bucket]
) -> None:
    """Add the counts to the subscriptions' hours, in one order of locks."""
    await _add_buckets(session, _ADD_SUBSCRIPTION_HOURS, "hour_start", hours)


async def add_countries(session: AsyncSession, days: Mapping[tuple[date, CountryKey], Bucket]) -> None:
    """Add the counts to the countries' days, in one order of locks."""
    await _add_buckets(session, _ADD_COUNTRIES, "day", days)


async def add_errors(session: AsyncSession, days: Mapping[tuple[date, ErrorKey], ErrorDay]) -> None:
    """Add the counts to the errors' days; the newest call of each is the first of its few examples."""
    if not days:
        return
    rows = sorted(days.items(), key=lambda item: (item[0][0], item[0][1].order))
    parameters: dict[str, list[Any]] = {"day": [day for (day, _), _ in rows]}
    for position, name in enumerate(ErrorKey._fields):
        parameters[name] = [key[position] for (_, key), _ in rows]
    for name in _ERROR_VALUES:
        parameters[name] = [getattr(error, name) for _, error in rows]
    await session.execute(_ADD_ERRORS, parameters)


async def _add_buckets(
    session: AsyncSession, statement: TextClause, time: str, buckets: Mapping[tuple[Any, Any], Bucket]
) -> None:
    if not buckets:
        return
    ordered = sorted(buckets.items(), key=lambda item: (item[0][0], item[0][1].order))
    rows = [
        (
            moment, *key, bucket.consumer_org, bucket.provider_org, *_numbers(bucket.totals),
            to_digits(bucket.latencies),
        )
        for (moment, key), bucket in ordered
    ]  # fmt: skip
    names = (time, *ordered[0][0][1]._fields, *_PARTIES, *TOTALS, HISTOGRAM)
    parameters = {
        name: list(column) if name == _COUNTRY else literal(column)
        for name, column in zip(names, zip(*rows, strict=True), strict=True)
    }
    await session.execute(statement, parameters)


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
