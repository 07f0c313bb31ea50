"""What batches add to the rollups: written down in one COPY a batch, and added to them later, many batches at once.

Whoever reads a rollup reads the view `<table>_now`, which is the table and what is pending: in one statement, and so in
one snapshot, it is what was counted, whether it has been folded or not.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from metering.db.copying import copy_packed, driver_connection
from metering.db.totals import HISTOGRAM
from metering.domain.pack import DELTA_COLUMNS
from metering.domain.rollup import TOTALS, BucketKey, CountryKey, ErrorKey, SubscriptionKey

_DAY = "(hour_start AT TIME ZONE 'UTC')::date"
_PARTIES = ("consumer_org", "provider_org")
_MEASURES = (*TOTALS, HISTOGRAM)
_EXAMPLES_KEPT = 5
# The organisations follow from subscription and API: any row's will do, and a second set must not make a second row.
_ANY_PARTIES = ", ".join(f"any_value({party}) AS {party}" for party in _PARTIES)


def _add(
    table: str, time: str, keys: tuple[str, ...], source: str, *, moment: str, only: str = "true", summed: bool = True
) -> str:  # fmt: skip
    """A part of the statement below: `source` is added to the table, summed by `keys` unless it already is."""
    names = ", ".join(keys)
    measured = ", ".join(_MEASURES)
    parties = _ANY_PARTIES if summed else ", ".join(_PARTIES)
    sums = ", ".join(f"sum({name})" for name in _MEASURES) if summed else measured
    group = f"GROUP BY {moment}, {names}" if summed else ""
    # In the order of the index, so that a row's place in it is found beside the last one's.
    added = ", ".join(f"{name} = t.{name} + excluded.{name}" for name in _MEASURES)
    return (
        f"to_{table} AS (INSERT INTO {table} AS t ({time}, {names}, {', '.join(_PARTIES)}, {measured})"
        f" SELECT {moment}, {names}, {parties}, {sums} FROM {source} WHERE {only} {group} ORDER BY 1, 2, 3"
        f" ON CONFLICT ({time}, {names}) DO UPDATE SET {added})"
    )


_ERRORS = ", ".join(ErrorKey._fields)
_ADD_ERRORS = (
    f"to_usage_errors_daily AS (INSERT INTO usage_errors_daily AS t"
    f" (day, {_ERRORS}, {', '.join(_PARTIES)}, calls, last_at, examples)"
    f" SELECT {_DAY}, {_ERRORS}, {_ANY_PARTIES}, sum(calls), max(last_at),"
    f" (array_agg(example ORDER BY last_at DESC))[1:{_EXAMPLES_KEPT}]"
    f" FROM taken WHERE status IS NOT NULL GROUP BY {_DAY}, {_ERRORS}"
    f" ON CONFLICT (day, {_ERRORS}) DO UPDATE SET calls = t.calls + excluded.calls,"
    " last_at = greatest(t.last_at, excluded.last_at),"
    f" examples = (excluded.examples || t.examples)[1:{_EXAMPLES_KEPT}])"
)
_HOURS = ", ".join(("hour_start", *BucketKey._fields))
# One statement: what is taken away is what is added, in one commit or not at all. Hours are summed once, and days and
# subscriptions from these.
_FOLD = text(
    "WITH taken AS MATERIALIZED (DELETE FROM usage_delta"
    " WHERE ctid = ANY(ARRAY(SELECT ctid FROM usage_delta LIMIT :most)) RETURNING *),"
    f" hours AS MATERIALIZED (SELECT {_HOURS}, {_ANY_PARTIES},"
    f" {', '.join(f'sum({name}) AS {name}' for name in _MEASURES)} FROM taken GROUP BY {_HOURS}), "
    + ", ".join((
        _add("usage_records_hourly", "hour_start", BucketKey._fields, "hours", moment="hour_start", summed=False),
        _add("usage_records_daily", "day", BucketKey._fields, "hours", moment=_DAY),
        _add("usage_subscription_hourly", "hour_start", SubscriptionKey._fields, "hours", moment="hour_start"),
        _add("usage_country_daily", "day", CountryKey._fields, "taken", moment=_DAY, only="country IS NOT NULL"),
        _ADD_ERRORS,
    ))
    + " SELECT count(*) FROM taken"
)  # fmt: skip
# Thousands of sums with histograms in them, which would go to temporary files below this.
_ROOM = text("SET LOCAL work_mem = '64MB'")
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtext('metering fold'))")


async def append(session: AsyncSession, packed: Iterable[bytes]) -> None:
    """The deltas that `pack_deltas` made rows of are pending.

    The session must have executed a statement before, as for a COPY into the log.
    """
    await copy_packed(await driver_connection(session), "usage_delta", DELTA_COLUMNS, packed)


async def claim(session: AsyncSession) -> bool:
    """This transaction is the one that folds; False while another one does.

    It only saves work: two at once would wait for each other's rows, and each would add what it took away itself.
    """
    return bool(await session.scalar(_TRY_LOCK))


async def fold(session: AsyncSession, *, limit: int) -> int:
    """At most `limit` pending deltas are added to the rollups and pending no more; how many."""
    await session.execute(_ROOM)
    return int((await session.execute(_FOLD, {"most": limit})).scalar_one())
