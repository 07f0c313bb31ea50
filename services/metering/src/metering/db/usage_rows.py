"""Which stored rows answer a question about usage: of each piece of time the smallest table that tells enough apart.

Beside them is read once, for the whole of it, what is not settled yet. All is one statement, and so one snapshot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from metering.db.totals import piece
from metering.domain.rollup import BucketKey
from metering.domain.usage import Filters
from metering.domain.windows import Grain, Window

_SUBSCRIPTION = {"api_id", "subscription_id", "is_test", "consumer_org", "provider_org"}
_ALL = {*BucketKey._fields, "consumer_org", "provider_org"}
# The smallest first. The hours' table without what inherits from it: open hours are among what is unsettled.
_STORED: dict[Grain, tuple[tuple[str, set[str]], ...]] = {
    Grain.HOUR: (
        ("usage_api_hourly", {"api_id", "is_test", "provider_org"}),
        ("usage_subscription_hourly", _SUBSCRIPTION),
        ("ONLY usage_records_hourly", _ALL),
    ),
    Grain.DAY: (
        ("usage_endpoint_daily", {"api_id", "version_id", "endpoint_id", "is_test", "provider_org"}),
        ("usage_records_daily", _ALL),
    ),
}
_INSTANT = {Grain.RAW: "started_at", Grain.HOUR: "hour_start", Grain.DAY: "day::timestamp AT TIME ZONE 'UTC'"}


def rows_for(
    windows: Sequence[Window], filters: Filters, *, columns: Sequence[str] = (), at: str | None = None
) -> tuple[str, dict[str, Any]]:
    """A subquery of `columns`, totals and latencies of what `filters` mean in `windows`, and its parameters.

    With `at`, each row's instant stands first, by that name. Without a window, the subquery is empty text.
    """
    selects: list[str] = []
    parameters: dict[str, Any] = {**filters.parameters()}

    def select(source: str, window: Window, conditions: Sequence[str]) -> None:
        instant = (f"{_INSTANT[window.grain]} AS {at}",) if at else ()
        sql, bounds = piece(
            len(selects), window, source, columns=(*instant, *columns), conditions=conditions, latencies=True
        )
        selects.append(sql)
        parameters.update(bounds)

    for window in windows:
        if window.grain is Grain.RAW:
            select("api_requests_log", window, filters.conditions())
            continue
        for part, but in _sides(filters):
            needed = {*columns, *part.parameters()}
            source = next(table for table, told in _STORED[window.grain] if needed <= told)
            select(source, window, (*_bound_as(filters, part), *but))
    stored = [window for window in windows if window.grain is not Grain.RAW]
    if stored:  # they follow each other without a gap
        whole = Window(Grain.HOUR, stored[0].start, stored[-1].end)
        select("usage_unsettled", whole, filters.conditions())
    return " UNION ALL ".join(selects), parameters


def _sides(filters: Filters) -> list[tuple[Filters, tuple[str, ...]]]:
    """The same calls in parts that name one side each, and what is not in a part: far fewer rows answer a provider."""
    own = filters.own_org
    if own is None:
        return [(filters, ())]
    neither = replace(filters, own_org=None)
    return [
        (replace(neither, provider_org=own), ()),
        (replace(neither, consumer_org=own), ("provider_org <> :own_org",)),
    ]


def _bound_as(filters: Filters, part: Filters) -> list[str]:
    """The conditions of a part, with the parameters of the whole."""
    whole = filters.parameters()
    return [f"{name} = :{name if name in whole else 'own_org'}" for name in part.parameters()]
