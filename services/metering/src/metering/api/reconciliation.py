"""`/v1/reconciliation`: are the rollups what the raw rows add up to, now and as each night found?"""

from __future__ import annotations

from datetime import date, timedelta

from fastapi import APIRouter, Request

from common.http.auth import PlatformAdmin
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.transaction import Transaction
from common.pagination import Cursor, Limit, decode_cursor, encode_cursor, not_ours
from metering.api.schemas import DifferenceOut, NightOut, NightsOut, ReconciliationOut
from metering.db import positions
from metering.db.reconciliation import Difference, compare, nights
from metering.domain.errors import RangeInvalid
from metering.domain.lateness import month_of, next_month

router = APIRouter(tags=["reconciliation"])


@router.get("/v1/reconciliation", responses=error_responses(RangeInvalid))
async def reconcile(
    request: Request, _: PlatformAdmin, session: Transaction, clock: ClockDep, first: date | None = None,
    last: date | None = None,
) -> ReconciliationOut:  # fmt: skip
    """Recompute hours, days, subscriptions' days and quota counters of the days [first, last) from raw rows.

    By default this month and the one before.
    """
    this_month = month_of(clock.now())
    start, end = first or month_of_day(this_month - timedelta(days=1)), last or next_month(this_month)
    if start >= end:
        raise RangeInvalid("`last` must be after `first`.", field="last")
    comparisons = await compare(session, first=start, last=end)
    differences = [to_out(d) for c in comparisons for d in c.differences]
    return ReconciliationOut(
        ok=not differences, compared={c.table: c.compared for c in comparisons}, differences=differences,
        as_of=await positions.as_of(session, request.app.state.kafka_log.topic),
    )  # fmt: skip


@router.get("/v1/reconciliation/nights")
async def list_nights(
    _: PlatformAdmin, session: Transaction, limit: Limit = 20, cursor: Cursor = None
) -> NightsOut:
    """What each night's reconciliation found, the last one first."""
    found = await nights(session, before=_before(cursor) if cursor else None, limit=limit + 1)
    items = [
        NightOut(
            day=night.day, first=night.first, last=night.last, started_at=night.started_at,
            finished_at=night.finished_at, ok=not night.differing, compared=night.compared,
            differing=night.differing, differences=[to_out(d) for d in night.found],
        )
        for night in found[:limit]
    ]  # fmt: skip
    more = len(found) > limit
    return NightsOut(items=items, next_cursor=encode_cursor(items[-1].day.isoformat()) if more else None)


def _before(cursor: str) -> date:
    (day,) = decode_cursor(cursor, parts=1)
    try:
        return date.fromisoformat(str(day))
    except ValueError:
        raise not_ours() from None


def month_of_day(day: date) -> date:
    """The first day of the month of `day`."""
    return day.replace(day=1)


def to_out(difference: Difference) -> DifferenceOut:
    """The difference as answered."""
    return DifferenceOut(
        table=difference.table, bucket=difference.bucket, key=difference.key, totals=difference.totals
    )
