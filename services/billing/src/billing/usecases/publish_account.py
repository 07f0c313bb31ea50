"""What an organisation can do with money, told to the others."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import accounts
from billing.events.account_changed import AccountChanged, Connect
from common import outbox


async def publish_account(session: AsyncSession, organisation_id: UUID, *, now: datetime) -> None:
    """The account's present state is published."""
    account = await accounts.find(session, organisation_id)
    if account is None or account.version == 0:
        return
    event = AccountChanged(
        organisation_id=organisation_id,
        version=account.version,
        stripe_customer=account.stripe_customer_id is not None,
        connect=Connect(
            account=account.connect_account_id is not None,
            charges_enabled=account.charges_enabled,
            payouts_enabled=account.payouts_enabled,
        ),
    )
    await outbox.publish(session, event, now=now)
