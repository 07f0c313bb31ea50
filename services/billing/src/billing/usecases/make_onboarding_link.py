"""Where a provider tells Stripe who they are."""

from __future__ import annotations

from uuid import UUID

from billing.clients.stripe import OnboardingLink, Stripe
from billing.db import accounts
from billing.domain.errors import ConnectAccountNotFound
from common.db import Database


async def make_onboarding_link(
    db: Database, stripe: Stripe, organisation_id: UUID, *, return_url: str
) -> OnboardingLink:
    """A new link for the organisation's connected account; each is good once and for a short time."""
    async with db.begin() as session:
        account = await accounts.find(session, organisation_id)
    if account is None or account.connect_account_id is None:
        raise ConnectAccountNotFound("Open an account for payouts first: POST /v1/connect/account.")
    return await stripe.create_onboarding_link(
        account.connect_account_id, return_url=return_url, refresh_url=return_url
    )
