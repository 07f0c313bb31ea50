"""The money for an invoice is here."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import accounts, invoices, ledger
from billing.domain.invoice import Invoice, InvoiceStatus, may_become, pay
from billing.domain.ledger import invoice_paid
from billing.events.invoice_changed import InvoiceChanged
from billing.metrics import INVOICES_PAID, PAID_MINOR_UNITS
from billing.usecases.restore_standing import restore_standing
from common import outbox
from common.log import get_logger

log = get_logger()


async def record_payment(
    session: AsyncSession, invoice_id: UUID, *, paid_at: datetime, grace: timedelta, now: datetime
) -> Invoice:
    """The invoice is paid, cash stands against the receivable, and the provider's share is available.

    Told twice, it is booked once. An organisation without another overdue invoice is in good standing again.
    """
    organisation_id = (await invoices.get(session, invoice_id)).organisation_id
    await accounts.lock(session, organisation_id)
    invoice = await invoices.lock(session, invoice_id)
    if not may_become(invoice, InvoiceStatus.PAID):
        return invoice
    paid = pay(invoice, paid_at=paid_at)
    await invoices.save(session, paid)
    await ledger.post(session, invoice_paid(paid), now=now)
    await outbox.publish(session, InvoiceChanged.of(paid), now=now)
    await restore_standing(session, organisation_id, grace=grace, now=now)
    INVOICES_PAID.labels(paid.currency).inc()
    PAID_MINOR_UNITS.labels(paid.currency).inc(paid.total)
    log.info("invoice.paid", invoice_id=paid.id, number=paid.number, total=paid.total)
    return paid
