"""From totals to tasks."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import runs, subscriptions, usage
from common.log import get_logger

log = get_logger()


async def open_invoice_run(session: AsyncSession, *, now: datetime) -> bool:
    """One run with all its totals has a task for each organisation that may owe something. False: there is none."""
    run = await runs.claim_complete(session)
    if run is None:
        return False
    scope = run.organisation_id
    users = await usage.users(session, cutoff_id=run.id, organisation_id=scope)
    buyers = await subscriptions.buyers(session, until=run.until, organisation_id=scope)
    carriers = await runs.carriers(session, organisation_id=scope)
    organisations = {*users, *buyers, *carriers}
    await runs.start(session, run.id, list(organisations), now=now)
    log.info("invoice_run.opened", run_id=run.id, organisations=len(organisations))
    return True
