"""The raw request log: one row a call, unique by start time and request id. This index is the deduplication."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from metering.db.copying import copy_packed, driver_connection
from metering.db.tables import api_requests_log
from metering.domain.batch import NOTHING, Added, Batch, add_up
from metering.domain.pack import CALL_COLUMNS, pack_calls
from metering.domain.usage import CallFilters, Filters
from metering.domain.windows import floor_day, floor_hour

_NAMES = ", ".join(api_requests_log.c.keys())
# A temporary table has no row-level security and no index: COPY runs at full speed. It lives as long as the
# connection and is empty at every commit.
_STAGING = """
    CREATE TEMPORARY TABLE IF NOT EXISTS staged_call (LIKE api_requests_log INCLUDING DEFAULTS) ON COMMIT DELETE ROWS"""
_INSERT = f"""
    INSERT INTO api_requests_log ({_NAMES}) SELECT {_NAMES} FROM staged_call
    WHERE started_at >= (SELECT rows_from FROM request_log_reach) ORDER BY started_at, request_id
    ON CONFLICT (started_at, request_id) DO NOTHING
    RETURNING (extract(epoch FROM started_at) * 1000)::bigint AS started_ms, request_id"""

_ERASE_FROM = text("""
    SELECT coalesce(greatest(nets_from,
        (SELECT min(started_at) FROM api_requests_log WHERE started_at >= nets_from)), nets_from) AS start
    FROM request_log_reach FOR UPDATE""")
_ERASE = text("""
    UPDATE api_requests_log SET client_net = NULL
    WHERE started_at >= :start AND started_at < :end AND client_net IS NOT NULL""")


@dataclass(frozen=True, slots=True)
class Reach:
    """From when on the log holds raw rows, and from when on these bear their clients' networks."""

    rows_from: datetime
    nets_from: datetime


async def reach(session: AsyncSession) -> Reach:
    """How far back the log holds what."""
    row = (await session.execute(text("SELECT rows_from, nets_from FROM request_log_reach"))).one()
    return Reach(row.rows_from, row.nets_from)


async def drop_months(session: AsyncSession, *, before: date) -> int:
    """The log holds no row of a month before that of `before`; how many partitions were dropped."""
    found = await session.execute(text("SELECT drop_request_log_partitions(:before)"), {"before": before})
    return int(found.scalar_one())


async def erase_networks(session: AsyncSession, *, before: datetime) -> int | None:
    """The next hour of calls begun before `before` bears no network; how many did. None when there is none left."""
    start = (await session.execute(_ERASE_FROM)).scalar_one()
    if start >= before:
        return None
    end = min(floor_hour(start) + timedelta(hours=1), before)
    erased = await session.execute(_ERASE, {"start": start, "end": end})
    await session.execute(text("UPDATE request_log_reach SET nets_from = :end"), {"end": end})
    return int(erased.rowcount)  # type: ignore[attr-defined]


async def ensure_partitions(session: AsyncSession, months: Iterable[date]) -> None:
    """The log has a partition for each of `months` that was not dropped."""
    for month in sorted(set(months)):
        await session.execute(text("SELECT ensure_request_log_partition(:month)"), {"month": month})


async def insert_new(session: AsyncSession, batch: Batch, *, unseen: bool) -> Added:
    """The batch's calls of which no row existed are in the log; what they add up to, each counted once.

    A call of a dropped month is taken for a repeat: nothing could tell it from one any more.
    `unseen` is a guess that decides what is tried first: all of them straight into the log, where the unique index
    refuses a batch that repeats anything, or one by one out of a staging table. The result is the same.

    The session must have executed a statement before: SQLAlchemy begins a transaction lazily, and a COPY on the
    driver's connection as the first act would survive the rollback.
    """
    if not len(batch):
        return NOTHING
    driver = await driver_connection(session)
    if unseen and await _copied(driver, batch.rows()):
        return batch.added()
    calls = batch.all_calls()
    await session.execute(text(_STAGING))
    await copy_packed(driver, "staged_call", CALL_COLUMNS, pack_calls(calls))
    inserted = await driver.fetch(_INSERT)
    by_key = {(call.started_ms, call.request_id): call for call in calls}
    return add_up([by_key[row["started_ms"], row["request_id"]] for row in inserted])


async def _copied(driver: asyncpg.Connection, rows: Iterable[bytes]) -> bool:
    """All the calls are in the log; or none, when one was already there, comes twice, or is of a dropped month."""
    try:
        async with driver.transaction():  # a savepoint in the batch's own
            await copy_packed(driver, "api_requests_log", CALL_COLUMNS, rows)
    except (asyncpg.UniqueViolationError, asyncpg.CheckViolationError):  # the latter: no partition takes it
        return False
    return True


# A page of all subscriptions is made of a page of each: the index is by subscription, and the rollups know which.
_PAGE = """
    WITH called AS (
        SELECT DISTINCT subscription_id FROM usage_records_daily_now
        WHERE day >= :first_day AND day < :last_day AND {dimensions})
    SELECT {names} FROM (
        SELECT page.* FROM called AS c CROSS JOIN LATERAL (
            SELECT {names} FROM api_requests_log
            WHERE subscription_id = c.subscription_id AND {where} ORDER BY started_at DESC, request_id DESC LIMIT :limit
        ) AS page
        UNION ALL (
            SELECT {names} FROM api_requests_log
            WHERE subscription_id IS NULL AND EXISTS (SELECT FROM called WHERE subscription_id IS NULL) AND {where}
            ORDER BY started_at DESC, request_id DESC LIMIT :limit)
    ) AS pages ORDER BY started_at DESC, request_id DESC LIMIT :limit"""

# Knowing that few calls have a status, the planner would fetch all of them, and sort: pages that nobody read for long.
_BY_THE_INDEX = text("SET LOCAL plan_cache_mode = force_generic_plan")


async def list_requests(
    session: AsyncSession, filters: Filters, calls: CallFilters, *, start: datetime, end: datetime,
    after: tuple[datetime, str] | None, limit: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """Calls of [start, end), newest first; a keyset page, so the last one costs what the first does."""
    if filters.subscription_id is not None:
        return await requests_of(
            session, filters, calls, subscription_id=filters.subscription_id, start=start, end=end, after=after,
            limit=limit,
        )  # fmt: skip
    where, parameters = _where(filters, calls, start=start, end=end, after=after, limit=limit)
    newest = min(end, after[0]) if after else end
    parameters |= _days(start, newest)
    query = _PAGE.format(names=_NAMES, where=where, dimensions=" AND ".join(filters.conditions()))
    await session.execute(_BY_THE_INDEX)
    return [dict(row) for row in (await session.execute(text(query), parameters)).mappings()]


def _where(
    filters: Filters, calls: CallFilters, *, start: datetime, end: datetime, after: tuple[datetime, str] | None,
    limit: int,
) -> tuple[str, dict[str, Any]]:  # fmt: skip
    conditions = ["started_at >= :start", "started_at < :end", *filters.conditions(), *calls.conditions()]
    parameters: dict[str, Any] = {"start": start, "end": end, "limit": limit}
    parameters |= filters.parameters() | calls.parameters()
    if after is not None:
        conditions.append("(started_at, request_id) < (:after_at, :after_id)")
        parameters |= {"after_at": after[0], "after_id": after[1]}
    return " AND ".join(conditions), parameters


def _days(start: datetime, end: datetime) -> dict[str, date]:
    return {"first_day": floor_day(start).date(), "last_day": floor_day(end).date() + timedelta(days=1)}


_CALLED = """
    SELECT DISTINCT subscription_id FROM usage_records_daily_now
    WHERE day >= :first_day AND day < :last_day AND {dimensions} ORDER BY subscription_id"""


async def called_subscriptions(
    session: AsyncSession, filters: Filters, *, start: datetime, end: datetime
) -> list[UUID | None]:
    """The subscriptions with calls in the days of [start, end), in order; last None, for calls without one."""
    parameters: dict[str, Any] = {**_days(start, end), **filters.parameters()}
    query = text(_CALLED.format(dimensions=" AND ".join(filters.conditions())))
    return list(await session.scalars(query, parameters))


async def requests_of(
    session: AsyncSession, filters: Filters, calls: CallFilters, *, subscription_id: UUID | None, start: datetime,
    end: datetime, after: tuple[datetime, str] | None, limit: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """Calls of one subscription, or without any, newest first."""
    where, parameters = _where(
        replace(filters, subscription_id=None), calls, start=start, end=end, after=after, limit=limit
    )
    of_it = "subscription_id IS NULL"
    if subscription_id is not None:
        of_it, parameters["subscription_id"] = "subscription_id = :subscription_id", subscription_id
    query = text(
        f"SELECT {_NAMES} FROM api_requests_log WHERE {of_it} AND {where}"
        " ORDER BY started_at DESC, request_id DESC LIMIT :limit"
    )
    return [dict(row) for row in (await session.execute(query, parameters)).mappings()]
