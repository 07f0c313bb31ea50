"""A provider's account for payouts."""

from __future__ import annotations

from uuid import UUID

from billing.clients.stripe import ConnectAccount, Stripe, StripeRefused
from billing.db import accounts
from billing.db.accounts import BillingAccount
from billing.domain.errors import PlatformCountryRefused
from billing.usecases.call_stripe import call_stripe
from billing.usecases.publish_account import publish_account
from common.clock import Clock
from common.db import Database


async def open_connect_account(
    db: Database, stripe: Stripe, clock: Clock, organisation_id: UUID, *, country: str
) -> BillingAccount:
    """The organisation has a connected account; a second request finds the first one's."""
    async with db.begin() as session:
        account = await accounts.lock(session, organisation_id)
    if account.connect_account_id is not None:
        return account

    async def send(key: str) -> ConnectAccount:
        return await stripe.create_connect_account(organisation_id=organisation_id, country=country, key=key)

    key = f"connect-account:{organisation_id}:{country}"
    try:
        made = await call_stripe(db, clock, key=key, operation="create_connect_account", send=send)
    except StripeRefused as refusal:
        raise PlatformCountryRefused(f"Stripe refused: {refusal.message}", field="country") from refusal
    async with db.begin() as session:
        account = await accounts.lock(session, organisation_id)
        if account.connect_account_id is None:
            await accounts.record_connect_account(
                session, organisation_id, account_id=made.id, charges=made.charges_enabled,
                payouts=made.payouts_enabled, requirements=made.requirements,
            )  # fmt: skip
            await publish_account(session, organisation_id, now=clock.now())
        return await accounts.lock(session, organisation_id)
