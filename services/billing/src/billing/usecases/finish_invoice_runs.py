"""The end of a run."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import runs
from billing.metrics import CLOSES_HELD
from common.log import get_logger

log = get_logger()


async def finish_invoice_runs(session: AsyncSession, *, now: datetime) -> int:
    """Runs with nothing left to do are done; returns how many became so. What is held is measured."""
    done = await runs.finish_complete(session, now=now)
    CLOSES_HELD.set(await runs.count_held(session))
    for run_id in done:
        log.info("invoice_run.done", run_id=run_id)
    return len(done)
