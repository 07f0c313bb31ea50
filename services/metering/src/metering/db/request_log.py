"""The raw request log: one row a call, unique by start time and request id. This index is the deduplication."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

import asyncpg
import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from metering.domain.call import Call
from metering.domain.usage import Filters

_COLUMNS = Call.__struct_fields__
_NAMES = ", ".join(_COLUMNS)
# A temporary table has no row-level security and no index: COPY runs at full speed. It lives as long as the
# connection and is empty at every commit.
_STAGING = """
    CREATE TEMPORARY TABLE IF NOT EXISTS staged_call (LIKE api_requests_log INCLUDING DEFAULTS) ON COMMIT DELETE ROWS"""
_INSERT = f"""
    INSERT INTO api_requests_log ({_NAMES}) SELECT {_NAMES} FROM staged_call ORDER BY started_at, request_id
    ON CONFLICT (started_at, request_id) DO NOTHING RETURNING started_at, request_id"""


async def ensure_partitions(session: AsyncSession, months: Iterable[date]) -> None:
    """The log has a partition for each of `months`."""
    for month in sorted(set(months)):
        await session.execute(text("SELECT ensure_request_log_partition(:month)"), {"month": month})


async def insert_new(session: AsyncSession, calls: Sequence[Call]) -> list[Call]:
    """The calls of which no row existed are in the log; they are returned, each once.

    The session must have executed a statement before: SQLAlchemy begins a transaction lazily, and a COPY on the
    driver's connection as the first act would survive the rollback.
    """
    if not calls:
        return []
    await session.execute(text(_STAGING))
    driver = await _driver_connection(session)
    await driver.copy_records_to_table(
        "staged_call", records=map(msgspec.structs.astuple, calls), columns=_COLUMNS, schema_name="pg_temp"
    )
    inserted = await driver.fetch(_INSERT)
    by_key = {(call.started_at, call.request_id): call for call in calls}
    return [by_key[row["started_at"], row["request_id"]] for row in inserted]


async def _driver_connection(session: AsyncSession) -> asyncpg.Connection:
    raw = await (await session.connection()).get_raw_connection()
    return raw.driver_connection


async def list_requests(
    session: AsyncSession, filters: Filters, *, start: datetime, end: datetime, status: str | None,
    after: tuple[datetime, str] | None, limit: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """Calls of [start, end), newest first; a keyset page, so the last one costs what the first does.

    `status` is one status ("429") or a class ("4xx").
    """
    conditions = ["started_at >= :start", "started_at < :end", *filters.conditions()]
    parameters: dict[str, Any] = {"start": start, "end": end, "limit": limit, **filters.parameters()}
    if status is not None:
        low = int(status[0]) * 100 if status.endswith("xx") else int(status)
        conditions.append("status BETWEEN :low AND :high")
        parameters |= {"low": low, "high": low + 99 if status.endswith("xx") else low}
    if after is not None:
        conditions.append("(started_at, request_id) < (:after_at, :after_id)")
        parameters |= {"after_at": after[0], "after_id": after[1]}
    query = text(
        f"SELECT {_NAMES} FROM api_requests_log WHERE {' AND '.join(conditions)}"
        " ORDER BY started_at DESC, request_id DESC LIMIT :limit"
    )
    return [dict(row) for row in (await session.execute(query, parameters)).mappings()]
