"""Let go of where clients called from, when the privacy setting's time is over."""

from __future__ import annotations

from datetime import datetime, timedelta

from common.db import Database
from metering.db import request_log


async def erase_networks(db: Database, *, keep: timedelta, now: datetime) -> int:
    """No call that began more than `keep` ago bears its client's network; how many were erased now.

    An hour of the log is one transaction, so that nobody waits for long.
    """
    erased = 0
    while True:
        async with db.begin() as session:
            step = await request_log.erase_networks(session, before=now - keep)
        if step is None:
            return erased
        erased += step
