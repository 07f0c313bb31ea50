"""Let go of months whose raw rows nobody needs any longer."""

from __future__ import annotations

from datetime import datetime, timedelta

from common.db import Database
from common.log import get_logger
from metering.db import cutoffs, request_log
from metering.domain.lateness import month_of

log = get_logger()


async def drop_old_months(db: Database, *, keep: timedelta, now: datetime) -> int:
    """Months that ended more than `keep` ago have no raw rows any more; how many were dropped now.

    A month stays while a cut-off at or before its end waits for its answer: totals up to an instant need raw rows.
    """
    async with db.begin() as session:
        before = month_of(now - keep)
        waiting = await cutoffs.earliest_waiting(session)
        if waiting is not None:
            before = min(before, month_of(waiting - timedelta(microseconds=1)))
        dropped = await request_log.drop_months(session, before=before)
    if dropped:
        log.info("request_log.dropped", months=dropped, before=before.isoformat())
    return dropped
