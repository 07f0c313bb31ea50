"""A connected account's state, fetched from Stripe."""

from __future__ import annotations

from billing.clients.stripe import Stripe
from billing.db import accounts
from billing.usecases.publish_account import publish_account
from common.clock import Clock
from common.db import Database


async def refresh_connect_account(
    db: Database, stripe: Stripe, clock: Clock, connect_account_id: str
) -> None:
    """Ours stands as Stripe's does now; an account that is none of ours changes nothing."""
    async with db.begin() as session:
        owner = await accounts.owner_of_connect_account(session, connect_account_id)
    if owner is None:
        return
    found = await stripe.get_connect_account(connect_account_id)
    async with db.begin() as session:
        before = await accounts.lock(session, owner)
        await accounts.record_connect_account(
            session, owner, account_id=found.id, charges=found.charges_enabled, payouts=found.payouts_enabled,
            requirements=found.requirements,
        )  # fmt: skip
        if (await accounts.lock(session, owner)).version > before.version:
            await publish_account(session, owner, now=clock.now())
