"""The worker's part in bringing invoices to Stripe."""

from __future__ import annotations

from datetime import timedelta

from billing.clients.stripe import Stripe, StripeRefused
from billing.db import collection
from billing.domain.errors import StripeTotalDiffers
from billing.usecases.send_invoice import send_invoice
from common.clock import Clock
from common.db import Database
from common.errors import Unavailable
from common.log import get_logger

_LEASE = timedelta(seconds=60)
_LONGEST_WAIT_SECONDS = 900
log = get_logger()


async def send_next_invoice(db: Database, stripe: Stripe, clock: Clock) -> bool:
    """One invoice that Stripe has not got is there, or will be tried again later. False: none waits."""
    async with db.begin() as session:
        now = clock.now()
        claimed = await collection.claim_unsent(session, now=now, lease_until=now + _LEASE)
    if claimed is None:
        return False
    invoice_id, failures = claimed
    try:
        await send_invoice(db, stripe, clock, invoice_id)
    except (Unavailable, StripeRefused, StripeTotalDiffers) as error:
        wait = timedelta(seconds=min(2**failures, _LONGEST_WAIT_SECONDS))
        async with db.begin() as session:
            await collection.record_failure(
                session, invoice_id, error=str(error), again_at=clock.now() + wait
            )
        log.warning("invoice.not_sent", invoice_id=invoice_id, error=str(error), failures=failures + 1)
    return True
