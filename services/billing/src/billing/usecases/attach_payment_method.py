"""How an organisation pays."""

from __future__ import annotations

from uuid import UUID

from billing.clients.stripe import CardRefused, PaymentMethod, Stripe, StripeRefused
from billing.db import accounts
from billing.domain.errors import CardDeclined, PaymentMethodRefused
from billing.usecases.call_stripe import call_stripe
from billing.usecases.ensure_customer import ensure_customer
from common.clock import Clock
from common.db import Database


async def attach_payment_method(
    db: Database, stripe: Stripe, clock: Clock, organisation_id: UUID, *, payment_method_id: str
) -> PaymentMethod:
    """Invoices are paid with that method from now on. Card numbers never come here: Stripe's page made the id."""
    customer_id = await ensure_customer(db, stripe, clock, organisation_id)

    async def send(key: str) -> PaymentMethod:
        return await stripe.attach_payment_method(customer_id, payment_method_id, key=key)

    try:
        method = await call_stripe(
            db, clock, key=f"payment-method:{organisation_id}:{payment_method_id}:{clock.now():%Y%m%d%H%M}",
            operation="attach_payment_method", send=send,
        )  # fmt: skip
    except CardRefused as refusal:
        raise CardDeclined(
            "The card was declined; use another one.", decline_code=refusal.decline_code
        ) from refusal
    except StripeRefused as refusal:
        raise PaymentMethodRefused(
            f"Stripe refused: {refusal.message}", field="payment_method_id"
        ) from refusal
    kept = {"id": method.id, "brand": method.brand, "last4": method.last4}
    async with db.begin() as session:
        await accounts.lock(session, organisation_id)
        await accounts.record_payment_method(session, organisation_id, kept)
    return method
