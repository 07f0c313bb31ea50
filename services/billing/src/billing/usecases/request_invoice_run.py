"""Cut off and invoice: the one way in which invoices come about."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import runs
from billing.db.runs import InvoiceRun
from billing.domain.errors import BillingDisabled, CutoffInFuture
from billing.domain.period import month_start
from billing.events.cutoff_requested import CutoffRequested
from common import outbox
from common.ids import new_id
from common.log import get_logger

# Clocks differ a little; metering waits until the moment has passed on every partition anyhow.
_CLOCK_SKEW = timedelta(seconds=60)
log = get_logger()


async def request_invoice_run(
    session: AsyncSession,
    *,
    organisation_id: UUID | None,
    until: datetime | None,
    enabled: bool,
    now: datetime,
) -> InvoiceRun:
    """Everything used until `until` (default: the start of this month) will be invoiced, of one organisation or of all.

    The same request is the same run: it is answered again, and metering is asked once.
    """
    if not enabled:
        raise BillingDisabled(
            "Billing is switched off here (ENABLE_BILLING): usage is metered, nothing is invoiced."
        )
    cut = until or month_start(now)
    if cut > now + _CLOCK_SKEW:
        raise CutoffInFuture("Usage can be cut off at a moment that has passed, not later.", field="until")
    run, made = await runs.insert_if_absent(
        session, run_id=new_id(), organisation_id=organisation_id, until=cut, now=now
    )
    if made:
        event = CutoffRequested(
            cutoff_id=run.id, version=1, organisation_id=organisation_id, until=cut, requested_at=now
        )
        await outbox.publish(session, event, now=now)
        log.info("invoice_run.requested", run_id=run.id, until=cut)
    return run
