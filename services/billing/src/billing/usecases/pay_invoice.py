"""Pay an invoice with the customer's default method."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from billing.clients.stripe import CardRefused, Stripe, StripeInvoice, StripeRefused
from billing.db import collection, invoices
from billing.domain.errors import CardDeclined, InvoiceNotPayable, PaymentFailed
from billing.domain.invoice import Invoice, InvoiceStatus, may_become
from billing.metrics import PAYMENTS_REFUSED
from billing.usecases.call_stripe import call_stripe
from billing.usecases.record_payment import record_payment
from billing.usecases.send_invoice import send_invoice
from common.clock import Clock
from common.db import Database
from common.log import get_logger

log = get_logger()


async def pay_invoice(
    db: Database, stripe: Stripe, clock: Clock, invoice_id: UUID, *, grace: timedelta
) -> Invoice:
    """The invoice is paid; a paid one stays as it is. CardDeclined and PaymentFailed leave it open.

    The attempt's number moves only after a recorded refusal, so a repeat after a crash is the same request at Stripe.
    """
    async with db.begin() as session:
        invoice = await invoices.get(session, invoice_id)
    if invoice.status is InvoiceStatus.PAID:
        return invoice
    if not may_become(invoice, InvoiceStatus.PAID):
        raise InvoiceNotPayable(f"This invoice is {invoice.status}: only an open one can be paid.")
    stripe_id = await send_invoice(db, stripe, clock, invoice_id)
    paid = await _charge(db, stripe, clock, invoice_id, stripe_id)
    async with db.begin() as session:
        now = clock.now()
        return await record_payment(session, invoice_id, paid_at=paid.paid_at or now, grace=grace, now=now)


async def _charge(
    db: Database, stripe: Stripe, clock: Clock, invoice_id: UUID, stripe_id: str
) -> StripeInvoice:
    async with db.begin() as session:
        attempt = (await collection.state_of(session, invoice_id)).attempt

    async def send(key: str) -> StripeInvoice:
        return await stripe.pay_invoice(stripe_id, key=key)

    async def find() -> StripeInvoice | None:
        found = await stripe.get_invoice(stripe_id)
        return found if found.status == "paid" else None

    try:
        paid = await call_stripe(
            db,
            clock,
            key=f"invoice:{invoice_id}:pay:{attempt}",
            operation="pay_invoice",
            send=send,
            find=find,
        )
    except StripeRefused as refusal:
        already = await find()
        if already is not None:  # paid on another way meanwhile
            return already
        await _record_refusal(db, invoice_id, attempt, refusal)
        raise _refused(refusal, invoice_id) from refusal
    if paid.status != "paid":
        async with db.begin() as session:
            await collection.record_declined(session, invoice_id, attempt=attempt)
        raise PaymentFailed(
            "The payment needs a step that only the card holder can do; use another payment method."
        )
    return paid


async def _record_refusal(db: Database, invoice_id: UUID, attempt: int, refusal: StripeRefused) -> None:
    async with db.begin() as session:
        await collection.record_declined(session, invoice_id, attempt=attempt)
    reason = "card" if isinstance(refusal, CardRefused) else "other"
    PAYMENTS_REFUSED.labels(reason).inc()
    log.info("payment.refused", invoice_id=invoice_id, attempt=attempt, reason=reason, code=refusal.reason)


def _refused(refusal: StripeRefused, invoice_id: UUID) -> CardDeclined | PaymentFailed:
    if isinstance(refusal, CardRefused):
        return CardDeclined(
            "The card was declined. Use another payment method and pay again; the invoice stays open.",
            decline_code=refusal.decline_code or refusal.reason, invoice_id=str(invoice_id),
        )  # fmt: skip
    return PaymentFailed(
        f"Stripe did not take the payment: {refusal.message} Attach a payment method and pay again.",
        invoice_id=str(invoice_id),
    )
