"""An issued invoice, brought to Stripe."""

from __future__ import annotations

from uuid import UUID

from billing.clients.stripe import Stripe, StripeInvoice, StripeItem
from billing.db import collection, invoices
from billing.domain.errors import StripeTotalDiffers
from billing.domain.invoice import Invoice, Line
from billing.usecases.call_stripe import call_stripe
from billing.usecases.ensure_customer import ensure_customer
from common.clock import Clock
from common.db import Database


async def send_invoice(db: Database, stripe: Stripe, clock: Clock, invoice_id: UUID) -> str:
    """Stripe has the invoice, with our rounded amounts, open; returns its id there. Repeating it changes nothing."""
    async with db.begin() as session:
        invoice = await invoices.get(session, invoice_id)
        state = await collection.state_of(session, invoice_id)
    if state.state == "open" and state.stripe_invoice_id is not None:
        return state.stripe_invoice_id
    customer_id = await ensure_customer(db, stripe, clock, invoice.organisation_id)
    stripe_id = state.stripe_invoice_id
    if stripe_id is None:
        stripe_id = (await _draft(db, stripe, clock, invoice, customer_id)).id
        async with db.begin() as session:
            await collection.record_drafted(session, invoice_id, stripe_id)
    found = await stripe.get_invoice(stripe_id)
    if found.status == "draft":
        for line in invoice.lines:
            if line.draft.amount != 0:
                await _add_item(
                    db, stripe, clock, invoice, line, customer_id=customer_id, stripe_id=stripe_id
                )
        found = await _finalize(db, stripe, clock, invoice, stripe_id)
    async with db.begin() as session:
        await collection.record_opened(session, invoice_id)
    return found.id


async def _draft(
    db: Database, stripe: Stripe, clock: Clock, invoice: Invoice, customer_id: str
) -> StripeInvoice:
    async def send(key: str) -> StripeInvoice:
        return await stripe.create_invoice(
            customer_id=customer_id, currency=invoice.currency, invoice_id=invoice.id, number=invoice.number or "",
            key=key,
        )  # fmt: skip

    async def find() -> StripeInvoice | None:
        return await stripe.find_invoice(customer_id, invoice.id)

    return await call_stripe(
        db, clock, key=f"invoice:{invoice.id}:create", operation="create_invoice", send=send, find=find
    )


async def _add_item(
    db: Database,
    stripe: Stripe,
    clock: Clock,
    invoice: Invoice,
    line: Line,
    *,
    customer_id: str,
    stripe_id: str,
) -> None:
    async def send(key: str) -> StripeItem:
        return await stripe.add_item(
            customer_id=customer_id, stripe_invoice_id=stripe_id, line_id=line.id, currency=invoice.currency,
            amount=line.draft.amount, description=line.draft.description, key=key,
        )  # fmt: skip

    async def find() -> StripeItem | None:
        items = await stripe.list_items(stripe_id)
        return next((item for item in items if item.line_id == line.id), None)

    await call_stripe(db, clock, key=f"line:{line.id}", operation="add_item", send=send, find=find)


async def _finalize(
    db: Database, stripe: Stripe, clock: Clock, invoice: Invoice, stripe_id: str
) -> StripeInvoice:
    drafted = await stripe.get_invoice(stripe_id)
    if drafted.total != invoice.total:
        raise StripeTotalDiffers(f"{invoice.number} is {invoice.total}, at Stripe {drafted.total}")

    async def send(key: str) -> StripeInvoice:
        return await stripe.finalize_invoice(stripe_id, key=key)

    async def find() -> StripeInvoice | None:
        found = await stripe.get_invoice(stripe_id)
        return None if found.status == "draft" else found

    return await call_stripe(
        db, clock, key=f"invoice:{invoice.id}:finalize", operation="finalize_invoice", send=send, find=find
    )
