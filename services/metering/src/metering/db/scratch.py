"""The rollups a second time, in a schema that only this connection sees and that ends with it.

PostgreSQL's temporary schema comes before `public` wherever a table is named, so the statements that write the real
rollups write these. It is gone when the transaction ends, however it ends: by Ctrl-C or by a kill.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Uuid, text
from sqlalchemy.ext.asyncio import AsyncSession

from metering.db import open_hours
from metering.db.provider_tables import SOURCES
from metering.db.tables import api_requests_log
from metering.db.totals import HISTOGRAM
from metering.domain.attribution import PARTY_COLUMNS, parties
from metering.domain.call import Call
from metering.domain.lateness import start_of
from metering.domain.rollup import (
    TOTALS,
    ApiKey,
    BucketKey,
    CountryKey,
    EndpointKey,
    ErrorKey,
    SubscriptionKey,
)

_MOST_NAMED = 1_000
_READ_AT_ONCE = 20_000
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Rebuilt:
    """A table, its time, its key, what else is compared, and which of its rows say anything (a counter may be made at
    zero). How often a row was written and published is no matter of the calls; which of them are examples, of batches.
    """

    name: str
    time: str
    keys: tuple[str, ...]
    sums: tuple[str, ...] = (*TOTALS, HISTOGRAM)
    same: tuple[str, ...] = ("consumer_org", "provider_org")
    latest: tuple[str, ...] = ()
    only: str = "true"
    folded: bool = True


_TABLES = (
    _Rebuilt("usage_records_hourly", "hour_start", ("hour_start", *BucketKey._fields)),
    _Rebuilt("usage_records_daily", "day", ("day", *BucketKey._fields)),
    _Rebuilt("usage_subscription_hourly", "hour_start", ("hour_start", *SubscriptionKey._fields)),
    _Rebuilt("usage_api_hourly", "hour_start", ("hour_start", "provider_org", *ApiKey._fields), same=()),
    _Rebuilt("usage_endpoint_daily", "day", ("day", "provider_org", *EndpointKey._fields), same=()),
    _Rebuilt("usage_country_daily", "day", ("day", *CountryKey._fields)),
    _Rebuilt("usage_errors_daily", "day", ("day", *ErrorKey._fields), sums=("calls",), latest=("last_at",)),
    _Rebuilt(
        "subscription_day", "day", ("subscription_id", "plan_version_id", "day"), sums=TOTALS,
        same=("consumer_org", "provider_org", "api_id"),
    ),
    _Rebuilt(
        "quota_usage", "month", ("consumer_org", "api_id", "month"), sums=("units",), same=("provider_org",),
        only="units <> 0", folded=False,
    ),
)  # fmt: skip
_MADE = (
    "usage_delta", "usage_pending", "usage_open_hours", "key_use", "month_adjustment",
    *(table.name for table in _TABLES),
)  # fmt: skip
# As on the real tables: LIKE does not bring them along.
_TRIGGERS = {"insert": "NEW TABLE AS added", "update": "OLD TABLE AS removed NEW TABLE AS added"}
_COLUMNS = ", ".join(
    f"{name}::text" if isinstance(api_requests_log.c[name].type, Uuid) else name
    for name in (
        *PARTY_COLUMNS,
        *(field for field in Call.__struct_fields__ if field not in ("started_ms", "who")),
    )
)
_READ = text(
    f"SELECT (extract(epoch FROM started_at) * 1000)::bigint AS started_ms, {_COLUMNS} FROM public.api_requests_log"
    " WHERE started_at >= :start AND started_at < :end"
)
_COUNT = text("SELECT count(*) FROM public.api_requests_log WHERE started_at >= :start AND started_at < :end")
_ARE_SCRATCH = text("""
    SELECT bool_and(c.relpersistence = 't') FROM unnest(CAST(:names AS text[])) AS t (name)
    JOIN pg_class c ON c.oid = to_regclass(t.name)""")


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A row that is not what the replay made: of each column, (rebuilt, stored); None where there is no row."""

    key: dict[str, Any]
    columns: dict[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class TableProof:
    """One table's SHA-256 as replayed and as stored; `mismatches` names at most a thousand rows when they differ."""

    table: str
    rows: int
    rebuilt: str
    stored: str
    mismatches: list[Mismatch]


async def begin(session: AsyncSession) -> None:
    """The scratch tables are there, empty, and nothing else can be written in this transaction any more."""
    for name in _MADE:
        await session.execute(
            text(f"CREATE TEMPORARY TABLE {name} (LIKE public.{name} INCLUDING ALL) ON COMMIT DROP")
        )
    for table, source in SOURCES.items():
        for event, rows in _TRIGGERS.items():
            await session.execute(
                text(
                    f"CREATE TRIGGER {table}_after_{event} AFTER {event} ON pg_temp.{source} REFERENCING {rows}"
                    f" FOR EACH STATEMENT EXECUTE FUNCTION add_to_{table}()"
                )
            )
    if not await session.scalar(_ARE_SCRATCH, {"names": list(_MADE)}):
        raise RuntimeError("this role's search_path puts another schema before the temporary one")
    # A statement that this connection prepared before would still mean the real table.
    await session.execute(text("DISCARD PLANS"))
    # Temporary tables may still be written; a statement that reached a real one would fail.
    await session.execute(text("SET TRANSACTION READ ONLY"))


async def count_calls(session: AsyncSession, *, first: date, last: date) -> int:
    """How many raw rows the days [first, last) have."""
    return int(await session.scalar(_COUNT, {"start": start_of(first), "end": start_of(last)}) or 0)


async def read_calls(session: AsyncSession, *, first: date, last: date) -> AsyncIterator[list[Call]]:
    """The raw rows of the days [first, last), some thousand at a time."""
    bounds: dict[str, datetime] = {"start": start_of(first), "end": start_of(last)}
    rows = await session.stream(_READ, bounds, execution_options={"yield_per": _READ_AT_ONCE})
    async for part in rows.partitions():
        yield [Call(row[0], row[9], parties(tuple(row[1:9])), *row[10:]) for row in part]


async def settle(session: AsyncSession) -> None:
    """No hour is open any more."""
    while await open_hours.settle(session, before=_NEVER, limit=_READ_AT_ONCE):
        pass


async def prove(session: AsyncSession, *, first: date, last: date) -> list[TableProof]:
    """Each table as replayed against each as stored, over the days [first, last)."""
    result = []
    for table in _TABLES:
        hour = table.time == "hour_start"
        bounds = {"low": start_of(first) if hour else first, "high": start_of(last) if hour else last}
        rebuilt, rows = await _digest(session, table, "pg_temp", bounds)
        stored, _ = await _digest(session, table, "public", bounds)
        mismatches = [] if rebuilt == stored else await _mismatches(session, table, bounds)
        result.append(TableProof(table.name, rows, rebuilt, stored, mismatches))
    return result


def _rows(table: _Rebuilt, schema: str) -> str:
    # A rollup as it is stored may have rows that are not folded yet: they are summed on both sides.
    source = f"{schema}.{table.name}" + ("_now" if table.folded and schema == "public" else "")
    group = ", ".join((*table.keys, *table.same))
    measures = [f"sum({name}) AS {name}" for name in table.sums]
    measures += [f"max({name}) AS {name}" for name in table.latest]
    return (
        f"SELECT to_jsonb(t) AS row FROM (SELECT {group}, {', '.join(measures)} FROM {source}"
        f" WHERE {table.time} >= :low AND {table.time} < :high AND {table.only} GROUP BY {group}) AS t"
    )


async def _digest(
    session: AsyncSession, table: _Rebuilt, schema: str, bounds: dict[str, Any]
) -> tuple[str, int]:
    """A digest of the rows' own digests in their order, so that no collation has a say; and how many rows."""
    query = text(
        "SELECT sha256(convert_to(row::text, 'UTF8')) AS digest"
        f" FROM ({_rows(table, schema)}) AS r ORDER BY digest"
    )
    total, rows = hashlib.sha256(), 0
    found = await session.stream(query, bounds, execution_options={"yield_per": _READ_AT_ONCE})
    async for row in found:
        total.update(row.digest)
        rows += 1
    return total.hexdigest(), rows


async def _mismatches(session: AsyncSession, table: _Rebuilt, bounds: dict[str, Any]) -> list[Mismatch]:
    rebuilt, stored = _rows(table, "pg_temp"), _rows(table, "public")
    query = text(
        f"WITH rebuilt AS ({rebuilt}), stored AS ({stored})"
        " (SELECT true AS is_rebuilt, row FROM (TABLE rebuilt EXCEPT TABLE stored) AS a LIMIT :most)"
        " UNION ALL (SELECT false, row FROM (TABLE stored EXCEPT TABLE rebuilt) AS b LIMIT :most)"
    )
    pairs: dict[tuple[Any, ...], dict[bool, dict[str, Any]]] = {}
    for found in await session.execute(query, bounds | {"most": _MOST_NAMED}):
        key = tuple(found.row[name] for name in table.keys)
        pairs.setdefault(key, {})[found.is_rebuilt] = found.row
    return [_mismatch(table, key, pair) for key, pair in sorted(pairs.items(), key=lambda item: str(item[0]))]


def _mismatch(table: _Rebuilt, key: tuple[Any, ...], pair: dict[bool, dict[str, Any]]) -> Mismatch:
    rebuilt, stored = pair.get(True, {}), pair.get(False, {})
    columns = {
        name: (rebuilt.get(name), stored.get(name))
        for name in (rebuilt or stored)
        if name not in table.keys and rebuilt.get(name) != stored.get(name)
    }
    return Mismatch(dict(zip(table.keys, key, strict=True)), columns)
