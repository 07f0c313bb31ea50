"""How totals are summed, from rollups and from raw rows: the SQL twin of `domain.rollup.Totals`.

Reconciliation compares the two, so a difference between this file and the domain shows at the first call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping

from metering.domain.latency import LOWER_MS, from_numeric
from metering.domain.rollup import TOTALS, Totals, Usage
from metering.domain.windows import Grain, Window

_REFUSED = "source <> 'upstream' AND status"
RAW_TOTALS: dict[str, str] = {
    "calls": "1",
    "billable_calls": "billable::int",
    "units": "units",
    "errors_4xx": f"(status BETWEEN 400 AND 499 AND NOT ({_REFUSED} IN (401, 403, 429)))::int",
    "errors_5xx": "(status >= 500)::int",
    "rejected_rate_limited": f"({_REFUSED} = 429)::int",
    "rejected_forbidden": f"({_REFUSED} = 403)::int",
    "rejected_unauthorized": f"({_REFUSED} = 401)::int",
    "bytes_in": "bytes_in",
    "bytes_out": "bytes_out",
    "latency_ms": "latency_ms",
}
SUMS = ", ".join(f"coalesce(sum({name}), 0)::bigint AS {name}" for name in TOTALS)
RAW_COLUMNS = ", ".join(f"{RAW_TOTALS[name]} AS {name}" for name in TOTALS)
ROLLUP_COLUMNS = ", ".join(TOTALS)

HISTOGRAM = "latency_histogram"
# How many of the buckets' lower bounds a latency has reached: its bucket.
_BUCKET = f"width_bucket(latency_ms, '{{{','.join(map(str, LOWER_MS[1:]))}}}'::int[])"
RAW_HISTOGRAM = f"('1e' || 12 * {_BUCKET})::numeric AS {HISTOGRAM}"
USAGE_SUMS = f"{SUMS}, numeric_send(coalesce(sum({HISTOGRAM}), 0)) AS {HISTOGRAM}"
"""What `to_usage` reads, in its order."""
USAGE_COLUMNS = (*TOTALS, HISTOGRAM)

_TABLE = {
    Grain.RAW: "api_requests_log",
    Grain.HOUR: "usage_records_hourly_now",
    Grain.DAY: "usage_records_daily_now",
}
_TIME = {Grain.RAW: "started_at", Grain.HOUR: "hour_start", Grain.DAY: "day"}


def piece(
    number: int,
    window: Window,
    source: str,
    *,
    columns: Sequence[str],
    conditions: Sequence[str],
    latencies: bool,
) -> tuple[str, dict[str, Any]]:
    """A SELECT of `columns`, totals and perhaps latencies of what `source` has in `window`; `number` tells its bounds
    from those of other pieces.
    """
    raw, time = window.grain is Grain.RAW, _TIME[window.grain]
    histogram = (RAW_HISTOGRAM if raw else HISTOGRAM,) if latencies else ()
    picked = ", ".join((*columns, RAW_COLUMNS if raw else ROLLUP_COLUMNS, *histogram))
    where = " AND ".join((f"{time} >= :start_{number}", f"{time} < :end_{number}", *conditions))
    start, end = window.start, window.end
    bounds = (start.date(), end.date()) if window.grain is Grain.DAY else (start, end)
    parameters = dict(zip((f"start_{number}", f"end_{number}"), bounds, strict=True))
    return f"SELECT {picked} FROM {source} WHERE {where}", parameters


def rows_of(
    windows: Sequence[Window], *, columns: Sequence[str], conditions: Sequence[str], latencies: bool = False
) -> tuple[str, dict[str, Any]]:
    """A subquery of `columns`, totals and perhaps latencies over `windows`, and its parameters. One statement is
    one snapshot: what a batch adds meanwhile is in all of the pieces or in none.
    """
    selects: list[str] = []
    parameters: dict[str, Any] = {}
    for number, window in enumerate(windows):
        select, bounds = piece(
            number, window, _TABLE[window.grain], columns=columns, conditions=conditions, latencies=latencies
        )
        selects.append(select)
        parameters |= bounds
    return " UNION ALL ".join(selects), parameters


def to_totals(row: RowMapping | Mapping[str, Any]) -> Totals:
    """The totals in the columns of `row`."""
    return Totals(**{name: int(row[name]) for name in TOTALS})


def to_usage(sums: Sequence[Any]) -> Usage:
    """The usage in the values of USAGE_SUMS: by place, for a time series has hundreds of rows."""
    return Usage(Totals(*sums[:-1]), from_numeric(sums[-1]))
