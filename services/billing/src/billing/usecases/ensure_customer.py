"""The organisation as a customer at Stripe."""

from __future__ import annotations

from uuid import UUID

from billing.clients.stripe import Stripe
from billing.db import accounts
from billing.usecases.call_stripe import call_stripe
from billing.usecases.publish_account import publish_account
from common.clock import Clock
from common.db import Database


async def ensure_customer(db: Database, stripe: Stripe, clock: Clock, organisation_id: UUID) -> str:
    """The organisation's customer id at Stripe, made if there was none."""
    async with db.begin() as session:
        account = await accounts.lock(session, organisation_id)
        address = await accounts.find_address(session, organisation_id)
    if account.stripe_customer_id is not None:
        return account.stripe_customer_id
    name = address.legal_name if address else account.name
    email = address.email if address else None

    async def send(key: str) -> str:
        return await stripe.create_customer(organisation_id=organisation_id, name=name, email=email, key=key)

    customer_id = await call_stripe(
        db, clock, key=f"customer:{organisation_id}", operation="create_customer", send=send
    )
    async with db.begin() as session:
        await accounts.record_customer(session, organisation_id, customer_id)
        await publish_account(session, organisation_id, now=clock.now())
        account = await accounts.lock(session, organisation_id)
    return account.stripe_customer_id or customer_id
