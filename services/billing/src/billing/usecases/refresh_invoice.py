"""An invoice's state, fetched from Stripe."""

from __future__ import annotations

from datetime import datetime, timedelta

from billing.clients.stripe import Stripe, StripeInvoice
from billing.db import accounts, invoices, ledger
from billing.domain.errors import InvoiceNotFound
from billing.domain.invoice import Invoice, InvoiceStatus, give_up, may_become, void
from billing.domain.ledger import invoice_voided
from billing.events.invoice_changed import InvoiceChanged
from billing.usecases.record_payment import record_payment
from billing.usecases.restore_standing import restore_standing
from common import outbox
from common.clock import Clock
from common.db import Database
from common.log import get_logger

log = get_logger()


async def refresh_invoice(
    db: Database, stripe: Stripe, clock: Clock, stripe_invoice_id: str, *, grace: timedelta
) -> None:
    """Ours stands as Stripe's does now. Whatever event brought us here, only the present state counts."""
    found = await stripe.get_invoice(stripe_invoice_id)
    if found.invoice_id is None:
        return  # an invoice that somebody made by hand is none of ours
    async with db.begin() as session:
        now = clock.now()
        try:
            known = await invoices.get(session, found.invoice_id)
        except InvoiceNotFound:
            log.error("stripe_invoice.unknown", stripe_invoice_id=stripe_invoice_id)
            return
        if known.stripe_invoice_id not in (None, found.id) or known.number is None:
            log.error("stripe_invoice.mismatch", invoice_id=known.id, stripe_invoice_id=stripe_invoice_id)
            return
        if found.status == "paid":
            await record_payment(session, known.id, paid_at=found.paid_at or now, grace=grace, now=now)
            return
        await accounts.lock(session, known.organisation_id)
        closed = _closed(await invoices.lock(session, known.id), found, now)
        if closed is None:
            return
        await invoices.save(session, closed)
        if closed.status is InvoiceStatus.VOID:
            await ledger.post(session, invoice_voided(closed), now=now)
        await outbox.publish(session, InvoiceChanged.of(closed), now=now)
        await restore_standing(session, closed.organisation_id, grace=grace, now=now)


def _closed(invoice: Invoice, found: StripeInvoice, now: datetime) -> Invoice | None:
    if found.status == "void" and may_become(invoice, InvoiceStatus.VOID):
        return void(invoice, now=now)
    if found.status == "uncollectible" and may_become(invoice, InvoiceStatus.UNCOLLECTIBLE):
        return give_up(invoice, now=now)
    return None
