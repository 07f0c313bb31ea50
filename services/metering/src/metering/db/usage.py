"""Usage as its owners read it, from the rollups; raw rows only for minutes and for the ragged ends of a range."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from metering.db.request_log import reach
from metering.db.totals import HISTOGRAM, ROLLUP_COLUMNS, USAGE_COLUMNS, USAGE_SUMS, to_usage
from metering.db.usage_rows import rows_for
from metering.domain.buckets import Granularity
from metering.domain.rollup import Usage
from metering.domain.usage import Dimension, Filters
from metering.domain.windows import Grain, Window, ceil_day, floor_day, split, without_raw

_BY: dict[Dimension, tuple[str, ...]] = {
    Dimension.API: ("api_id",),
    Dimension.ENDPOINT: ("api_id", "endpoint_id"),
    Dimension.VERSION: ("api_id", "version_id"),
    Dimension.SUBSCRIPTION: ("api_id", "subscription_id", "consumer_org"),
    Dimension.KEY: ("api_id", "subscription_id", "key_id"),
    Dimension.CONSUMER: ("consumer_org",),
    Dimension.PROVIDER: ("provider_org",),
    Dimension.COUNTRY: ("country",),
}
_NAMES = {
    Dimension.ENDPOINT: "LEFT JOIN endpoint AS e USING (endpoint_id)",
    Dimension.VERSION: "LEFT JOIN (SELECT version_id, name FROM api_version) AS v USING (version_id)",
}
_NAMED = {Dimension.ENDPOINT: ("method", "path"), Dimension.VERSION: ("name",)}
# Examples are wanted of the few most frequent alone: their rows' newest ones, the newest row's first.
_ERRORS = """
    WITH met AS MATERIALIZED (
        SELECT api_id, endpoint_id, status, source, calls, last_at, examples FROM usage_errors_daily_now
        WHERE day >= :first AND day < :last AND {where}),
    most AS (
        SELECT api_id, endpoint_id, status, source, sum(calls)::bigint AS calls, max(last_at) AS last_at FROM met
        GROUP BY 1, 2, 3, 4 ORDER BY calls DESC, api_id, endpoint_id, status, source LIMIT :limit),
    newest AS (
        SELECT m.*, row_number() OVER (
            PARTITION BY m.api_id, m.endpoint_id, m.status, m.source ORDER BY m.last_at DESC) AS place
        FROM met AS m JOIN most AS t USING (api_id, status, source)
        WHERE m.endpoint_id IS NOT DISTINCT FROM t.endpoint_id)
    SELECT t.*, e.method, e.path, x.examples FROM most AS t
        JOIN (SELECT api_id, endpoint_id, status, source,
                (array_agg(example ORDER BY last_at DESC, number))[1:{examples}] AS examples
            FROM newest, unnest(examples) WITH ORDINALITY AS u (example, number) WHERE place <= {examples}
            GROUP BY 1, 2, 3, 4) AS x
            ON (x.api_id, x.status, x.source) = (t.api_id, t.status, t.source)
                AND x.endpoint_id IS NOT DISTINCT FROM t.endpoint_id
        LEFT JOIN endpoint AS e ON e.endpoint_id = t.endpoint_id
    ORDER BY calls DESC, t.api_id, t.endpoint_id, t.status, t.source"""
_EXAMPLES = 5


async def _windows(session: AsyncSession, start: datetime, end: datetime) -> list[Window]:
    """What answers [start, end); where raw rows were dropped, its ends are widened to whole hours."""
    return without_raw(split(start, end), rows_from=(await reach(session)).rows_from)


async def summary(session: AsyncSession, filters: Filters, *, start: datetime, end: datetime) -> Usage:
    """The usage of [start, end), to the millisecond where there are raw rows."""
    rows, parameters = rows_for(await _windows(session, start, end), filters)
    if not rows:
        return Usage()
    found = await session.execute(text(f"SELECT {USAGE_SUMS} FROM ({rows}) AS r"), parameters)
    return to_usage(found.one())


async def series(
    session: AsyncSession,
    filters: Filters,
    *,
    granularity: Granularity,
    starts: Sequence[datetime],
    zone: tzinfo,
) -> dict[datetime, Usage]:
    """The usage of each bucket in which something was called; `starts` are the buckets', then the end of the last."""
    grain = Grain.HOUR
    if granularity is Granularity.MINUTE:
        grain = Grain.RAW
    elif granularity is not Granularity.HOUR and zone is UTC:
        grain = Grain.DAY
    rows, parameters = rows_for([Window(grain, starts[0], starts[-1])], filters, at="instant")
    query = text(
        f"SELECT width_bucket(instant, CAST(:starts AS timestamptz[])) AS bucket, {USAGE_SUMS} FROM ({rows}) AS r"
        " GROUP BY bucket"
    )
    found = await session.execute(query, parameters | {"starts": list(starts)})
    return {starts[bucket - 1]: to_usage(sums) for bucket, *sums in found}


async def breakdown(
    session: AsyncSession, filters: Filters, *, by: Dimension, start: datetime, end: datetime, limit: int
) -> tuple[list[tuple[dict[str, Any], Usage]], int]:
    """The most called of what `by` tells apart in [start, end), each with its ids and names; what has none is one item.

    Beside them, the calls of all that there are, listed or not: summed in the same pass, for that is most of the work.
    Countries are counted by UTC day: the days that the range touches are whole.
    """
    columns = _BY[by]
    if by is Dimension.COUNTRY:
        where = " AND ".join(("day >= :first", "day < :last", *filters.conditions()))
        rows = f"SELECT country, {ROLLUP_COLUMNS}, {HISTOGRAM} FROM usage_country_daily_now WHERE {where}"
        parameters = _days(start, end) | filters.parameters()
    else:
        rows, parameters = rows_for(await _windows(session, start, end), filters, columns=columns)
    if not rows:
        return [], 0
    keys = ", ".join(columns)
    names = (*columns, *_NAMED.get(by, ()))
    query = text(
        f"SELECT {', '.join(('all_calls', *names, *USAGE_COLUMNS))} FROM (SELECT {keys}, {USAGE_SUMS},"
        f" (sum(sum(calls)) OVER ())::bigint AS all_calls FROM ({rows}) AS r GROUP BY {keys}"
        f" ORDER BY sum(calls) DESC, {keys} LIMIT :limit) AS t {_NAMES.get(by, '')} ORDER BY calls DESC, {keys}"
    )
    found = (await session.execute(query, parameters | {"limit": limit})).all()
    items = [(dict(zip(names, ids, strict=False)), to_usage(ids[len(names) :])) for _, *ids in found]
    return items, found[0].all_calls if found else 0


async def errors(
    session: AsyncSession, filters: Filters, *, start: datetime, end: datetime, limit: int
) -> list[dict[str, Any]]:
    """The most frequent errors by endpoint and status, of the UTC days that [start, end) touches, with examples."""
    query = text(_ERRORS.format(where=" AND ".join(filters.conditions()), examples=_EXAMPLES))
    parameters = _days(start, end) | filters.parameters() | {"limit": limit}
    return [dict(row) for row in (await session.execute(query, parameters)).mappings()]


def _days(start: datetime, end: datetime) -> dict[str, Any]:
    first, last = floor_day(start).date(), ceil_day(end).date()
    return {"first": first, "last": max(last, first + timedelta(days=1))}
