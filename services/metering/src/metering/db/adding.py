"""The SQL by which rows are added to a rollup: parts of one statement that takes them from elsewhere."""

from __future__ import annotations

from sqlalchemy import text

from metering.db.totals import HISTOGRAM
from metering.domain.rollup import TOTALS

DAY = "(hour_start AT TIME ZONE 'UTC')::date"
PARTIES = ("consumer_org", "provider_org")
MEASURES = (*TOTALS, HISTOGRAM)
# The organisations follow from subscription and API: any row's will do, and a second set must not make a second row.
ANY_PARTIES = ", ".join(f"any_value({party}) AS {party}" for party in PARTIES)
# Thousands of rows with histograms in them, which would go to temporary files below this. Sorted, they are summed one
# group after the other; hashed, thousands of sums of histograms are in hand at once, which costs a quarter more.
ROOM = text("SELECT set_config('work_mem', '64MB', true), set_config('enable_hashagg', 'off', true)")


def added(
    table: str, first: str, keys: tuple[str, ...], source: str, *, moment: str, only: str = "true", summed: bool = True
) -> str:  # fmt: skip
    """`source` is added to the table, summed by `keys` unless it already is. `first` of the table is `moment` there."""
    names = ", ".join(keys)
    measured = ", ".join(MEASURES)
    parties = ANY_PARTIES if summed else ", ".join(PARTIES)
    sums = ", ".join(f"sum({name})" for name in MEASURES) if summed else measured
    group = f"GROUP BY {moment}, {names}" if summed else ""
    # In the order of the index, so that a row's place in it is found beside the last one's.
    both = ", ".join(f"{name} = t.{name} + excluded.{name}" for name in MEASURES)
    return (
        f"to_{table} AS (INSERT INTO {table} AS t ({first}, {names}, {', '.join(PARTIES)}, {measured})"
        f" SELECT {moment}, {names}, {parties}, {sums} FROM {source} WHERE {only} {group} ORDER BY 1, 2, 3"
        f" ON CONFLICT ({first}, {names}) DO UPDATE SET {both})"
    )
