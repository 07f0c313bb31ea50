"""How totals are summed, from rollups and from raw rows: the SQL twin of `domain.rollup.Totals`.

Reconciliation compares the two, so a difference between this file and the domain shows at the first call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping

from metering.domain.rollup import TOTALS, Totals
from metering.domain.windows import Grain, Window

_REFUSED = "source <> 'upstream' AND status"
_RAW: dict[str, str] = {
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
RAW_COLUMNS = ", ".join(f"{_RAW[name]} AS {name}" for name in TOTALS)
ROLLUP_COLUMNS = ", ".join(TOTALS)

_TABLE = {Grain.RAW: "api_requests_log", Grain.HOUR: "usage_records_hourly", Grain.DAY: "usage_records_daily"}
_TIME = {Grain.RAW: "started_at", Grain.HOUR: "hour_start", Grain.DAY: "day"}


def rows_of(
    windows: Sequence[Window], *, columns: Sequence[str], conditions: Sequence[str]
) -> tuple[str, dict[str, Any]]:
    """A subquery of `columns` and totals over `windows`, and its parameters. One statement is one snapshot: what a
    batch adds meanwhile is in all of the pieces or in none.
    """
    selects, parameters = [], {}
    for number, window in enumerate(windows):
        raw, time = window.grain is Grain.RAW, _TIME[window.grain]
        where = " AND ".join((f"{time} >= :start_{number}", f"{time} < :end_{number}", *conditions))
        picked = ", ".join((*columns, RAW_COLUMNS if raw else ROLLUP_COLUMNS))
        selects.append(f"SELECT {picked} FROM {_TABLE[window.grain]} WHERE {where}")
        day = window.grain is Grain.DAY
        parameters[f"start_{number}"] = window.start.date() if day else window.start
        parameters[f"end_{number}"] = window.end.date() if day else window.end
    return " UNION ALL ".join(selects), parameters


def to_totals(row: RowMapping | Mapping[str, Any]) -> Totals:
    """The totals in the columns of `row`."""
    return Totals(**{name: int(row[name]) for name in TOTALS})
