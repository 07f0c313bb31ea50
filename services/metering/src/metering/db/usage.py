"""Usage as its owners read it, from the rollups; raw rows only for minutes and for the ragged ends of a range."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from metering.db.totals import (
    HISTOGRAM,
    RAW_COLUMNS,
    RAW_HISTOGRAM,
    ROLLUP_COLUMNS,
    USAGE_SUMS,
    rows_of,
    to_usage,
)
from metering.domain.buckets import Granularity
from metering.domain.rollup import Usage
from metering.domain.usage import Filters
from metering.domain.windows import split

_ROLLUP = f"{ROLLUP_COLUMNS}, {HISTOGRAM}"
_SERIES = {
    Granularity.MINUTE: (
        "api_requests_log",
        "started_at",
        "date_trunc('minute', started_at, 'UTC')",
        f"{RAW_COLUMNS}, {RAW_HISTOGRAM}",
    ),
    Granularity.HOUR: ("usage_records_hourly", "hour_start", "hour_start", _ROLLUP),
    Granularity.DAY: ("usage_records_daily", "day", "day", _ROLLUP),
    Granularity.MONTH: ("usage_records_daily", "day", "date_trunc('month', day)::date", _ROLLUP),
}


async def summary(session: AsyncSession, filters: Filters, *, start: datetime, end: datetime) -> Usage:
    """The usage of [start, end), to the millisecond."""
    rows, parameters = rows_of(split(start, end), columns=(), conditions=filters.conditions(), latencies=True)
    if not rows:
        return Usage()
    found = await session.execute(
        text(f"SELECT {USAGE_SUMS} FROM ({rows}) AS r"), parameters | filters.parameters()
    )
    return to_usage(found.mappings().one())


async def series(
    session: AsyncSession, filters: Filters, *, granularity: Granularity, start: datetime, end: datetime
) -> dict[datetime, Usage]:
    """The usage of each bucket of [start, end) in which something was called; both are whole buckets."""
    table, time, bucket, columns = _SERIES[granularity]
    by_date = granularity in (Granularity.DAY, Granularity.MONTH)
    bounds: dict[str, Any] = (
        {"start": start.date(), "end": end.date()} if by_date else {"start": start, "end": end}
    )
    where = " AND ".join((f"{time} >= :start", f"{time} < :end", *filters.conditions()))
    query = text(
        f"SELECT bucket, {USAGE_SUMS} FROM (SELECT {bucket} AS bucket, {columns} FROM {table} WHERE {where}) AS r"
        " GROUP BY bucket ORDER BY bucket"
    )
    found = (await session.execute(query, bounds | filters.parameters())).mappings()
    return {_instant(row["bucket"]): to_usage(row) for row in found}


def _instant(bucket: datetime | date) -> datetime:
    if isinstance(bucket, datetime):
        return bucket.astimezone(UTC)
    return datetime(bucket.year, bucket.month, bucket.day, tzinfo=UTC)


async def by_endpoint(
    session: AsyncSession, filters: Filters, *, start: datetime, end: datetime, limit: int
) -> list[tuple[dict[str, Any], Usage]]:
    """The most called endpoints of [start, end), each with its template; calls that matched none are one item."""
    columns = ("api_id", "endpoint_id")
    rows, parameters = rows_of(
        split(start, end), columns=columns, conditions=filters.conditions(), latencies=True
    )
    if not rows:
        return []
    query = text(
        f"SELECT t.*, e.method, e.path FROM (SELECT api_id, endpoint_id, {USAGE_SUMS} FROM ({rows}) AS r"
        " GROUP BY api_id, endpoint_id) AS t LEFT JOIN endpoint AS e USING (endpoint_id)"
        " ORDER BY t.calls DESC, t.api_id, t.endpoint_id LIMIT :limit"
    )
    found = (await session.execute(query, parameters | filters.parameters() | {"limit": limit})).mappings()
    names = ("api_id", "endpoint_id", "method", "path")
    return [({name: row[name] for name in names}, to_usage(row)) for row in found]
