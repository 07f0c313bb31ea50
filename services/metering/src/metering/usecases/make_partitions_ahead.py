"""Make the request log's partitions before they are needed."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from metering.db import request_log
from metering.domain.lateness import LATEST_ARRIVAL, month_of, next_month


async def make_partitions_ahead(session: AsyncSession, *, now: datetime) -> None:
    """There is a partition for every month from which a call may still count, and for the two to come."""
    month, last = month_of(now - LATEST_ARRIVAL), next_month(next_month(month_of(now)))
    months = [month]
    while months[-1] < last:
        months.append(next_month(months[-1]))
    await request_log.ensure_partitions(session, months)
