"""What batches add: written down in one COPY a batch, and added later, many batches at once, to hours that are open.

Whoever reads a rollup reads the view `<table>_now`, which is the table and what is pending: in one statement, and so in
one snapshot, it is what was counted, whether it has been folded or not.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from metering.db.adding import ANY_PARTIES, DAY, PARTIES, ROOM, added
from metering.db.copying import copy_packed, driver_connection
from metering.db.totals import HISTOGRAM
from metering.domain.pack import DELTA_COLUMNS
from metering.domain.rollup import TOTALS, BucketKey, CountryKey, ErrorKey

_EXAMPLES_KEPT = 5
_ERRORS = ", ".join(ErrorKey._fields)
_ADD_ERRORS = (
    f"to_usage_errors_daily AS (INSERT INTO usage_errors_daily AS t"
    f" (day, {_ERRORS}, {', '.join(PARTIES)}, calls, last_at, examples)"
    f" SELECT {DAY}, {_ERRORS}, {ANY_PARTIES}, sum(calls), max(last_at),"
    f" (array_agg(example ORDER BY last_at DESC))[1:{_EXAMPLES_KEPT}]"
    f" FROM taken WHERE status IS NOT NULL GROUP BY {DAY}, {_ERRORS}"
    f" ON CONFLICT (day, {_ERRORS}) DO UPDATE SET calls = t.calls + excluded.calls,"
    " last_at = greatest(t.last_at, excluded.last_at),"
    f" examples = (excluded.examples || t.examples)[1:{_EXAMPLES_KEPT}])"
)
# What billing reads, and what became of a closed month by calls that came late: noted by their batch, due from here on.
_LIVE = (
    "NOT is_test AND subscription_id IS NOT NULL AND plan_version_id IS NOT NULL AND consumer_org IS NOT NULL"
)
_ADD_SUBSCRIPTION_DAYS = (
    f"to_subscription_day AS (INSERT INTO subscription_day AS t"
    f" (subscription_id, plan_version_id, day, api_id, {', '.join(PARTIES)}, {', '.join(TOTALS)}, version)"
    f" SELECT subscription_id, plan_version_id, {DAY}, any_value(api_id), {ANY_PARTIES},"
    f" {', '.join(f'sum({name})' for name in TOTALS)}, 1 FROM hours WHERE {_LIVE} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    f" ON CONFLICT (subscription_id, plan_version_id, day) DO UPDATE SET version = t.version + 1,"
    f" {', '.join(f'{name} = t.{name} + excluded.{name}' for name in TOTALS)}"
    " RETURNING subscription_id, plan_version_id, date_trunc('month', t.day)::date AS month),"
    " to_month_adjustment AS (UPDATE month_adjustment AS a SET version = a.version + 1"
    " FROM (SELECT DISTINCT * FROM to_subscription_day) AS d WHERE (a.subscription_id, a.plan_version_id, a.month)"
    " = (d.subscription_id, d.plan_version_id, d.month))"
)
# A key that was noted in its minute costs a look into the index, and no lock.
_NOTE_KEY_USES = (
    "to_key_use AS (INSERT INTO key_use AS t (key_id, subscription_id, consumer_org, last_used_at, version)"
    " SELECT u.*, 1 FROM (SELECT key_id, any_value(subscription_id), any_value(consumer_org),"
    " date_trunc('minute', max(last_at), 'UTC') AS minute FROM hours"
    " WHERE key_id IS NOT NULL AND subscription_id IS NOT NULL AND consumer_org IS NOT NULL"
    " GROUP BY key_id ORDER BY key_id) AS u"
    " WHERE NOT EXISTS (SELECT FROM key_use k WHERE k.key_id = u.key_id AND k.last_used_at >= u.minute)"
    " ON CONFLICT (key_id) DO UPDATE SET last_used_at = excluded.last_used_at, version = t.version + 1"
    " WHERE t.last_used_at < excluded.last_used_at)"
)
# In the order of the index of open hours: a subscription's are found in it, and PostgreSQL sorts it faster than by the
# hour, which nearly all have in common.
_FIRST = "subscription_id"
_REST = ("hour_start", *(name for name in BucketKey._fields if name != _FIRST))
_HOURS = ", ".join((_FIRST, *_REST))
_HOUR_SUMS = ", ".join(f"sum({name})::bigint AS {name}" for name in TOTALS)


def _fold(pending: str, *more: str) -> TextClause:
    """One statement: what is taken away is what is added, in one commit or not at all."""
    return text(
        f"WITH taken AS MATERIALIZED (DELETE FROM {pending}"
        f" WHERE ctid = ANY(ARRAY(SELECT ctid FROM {pending} LIMIT :most)) RETURNING *),"
        f" hours AS MATERIALIZED (SELECT {_HOURS}, {ANY_PARTIES}, max(last_at) AS last_at,"
        f" {_HOUR_SUMS}, sum({HISTOGRAM}) AS {HISTOGRAM} FROM taken GROUP BY {_HOURS}), "
        + ", ".join((
            added("usage_open_hours", _FIRST, _REST, "hours", moment=_FIRST, summed=False),
            added("usage_country_daily", "day", CountryKey._fields, "taken", moment=DAY, only="country IS NOT NULL"),
            _ADD_ERRORS,
            *more,
        ))
        + " SELECT count(*) FROM taken"
    )  # fmt: skip


# A worker of the version before adds days and notes keys itself, and writes the rest down in a table of its own.
_FOLDS = (_fold("usage_delta"), _fold("usage_pending", _ADD_SUBSCRIPTION_DAYS, _NOTE_KEY_USES))
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtext('metering fold'))")


async def append(session: AsyncSession, packed: Iterable[bytes]) -> None:
    """The deltas that `pack_deltas` made rows of are pending.

    The session must have executed a statement before, as for a COPY into the log.
    """
    await copy_packed(await driver_connection(session), "usage_pending", DELTA_COLUMNS, packed)


async def claim(session: AsyncSession) -> bool:
    """This transaction is the one that folds; False while another one does.

    It only saves work: two at once would wait for each other's rows, and each would add what it took away itself.
    """
    return bool(await session.scalar(_TRY_LOCK))


async def fold(session: AsyncSession, *, limit: int) -> int:
    """At most `limit` pending deltas are in the rollups, subscriptions' days and keys' last uses instead; how many."""
    await session.execute(ROOM)
    folded = 0
    for statement in _FOLDS:
        folded += int((await session.execute(statement, {"most": limit - folded})).scalar_one())
    return folded
