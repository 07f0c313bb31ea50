"""From a draft to an invoice that is due."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import invoices, ledger
from billing.domain.invoice import issue
from billing.domain.ledger import invoice_issued
from billing.events.invoice_changed import InvoiceChanged
from billing.metrics import INVOICED_MINOR_UNITS, INVOICES_ISSUED
from common import outbox
from common.log import get_logger

log = get_logger()


async def issue_invoice(session: AsyncSession, *, seller: str, now: datetime) -> bool:
    """The oldest draft has its number, stands in the ledger and is published. False: there is none.

    Number and invoice are one transaction, so that a crash leaves no gap.
    """
    draft = await invoices.claim_draft(session)
    if draft is None:
        return False
    number = await invoices.next_number(session, seller=seller)
    invoice = issue(draft, number=f"{seller}-{number:06d}", now=now)
    await invoices.save(session, invoice)
    await ledger.post(session, invoice_issued(invoice), now=now)
    await outbox.publish(session, InvoiceChanged.of(invoice), now=now)
    INVOICES_ISSUED.labels(invoice.currency).inc()
    INVOICED_MINOR_UNITS.labels(invoice.currency).inc(invoice.total)
    log.info("invoice.issued", invoice_id=invoice.id, number=invoice.number, total=invoice.total)
    return True
