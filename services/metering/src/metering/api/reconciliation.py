"""`GET /v1/reconciliation`: are the rollups what the raw rows add up to?"""

from __future__ import annotations

from datetime import date, timedelta

from fastapi import APIRouter, Request

from common.http.auth import PlatformAdmin
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.transaction import Transaction
from metering.api.schemas import DifferenceOut, ReconciliationOut
from metering.db import positions
from metering.db.reconciliation import Difference, compare
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


def month_of_day(day: date) -> date:
    """The first day of the month of `day`."""
    return day.replace(day=1)


def to_out(difference: Difference) -> DifferenceOut:
    """The difference as answered."""
    return DifferenceOut(
        table=difference.table, bucket=difference.bucket, key=difference.key, totals=difference.totals
    )
