"""All state that billing owns, published again."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import accounts, invoices, runs, spend
from billing.events.cutoff_requested import CutoffRequested
from billing.events.invoice_changed import InvoiceChanged
from billing.events.spend_changed import SpendChanged
from billing.events.standing_changed import StandingChanged
from billing.usecases.publish_account import publish_account
from common import outbox


async def republish(session: AsyncSession, now: datetime) -> int:
    """Invoices, spend, standings, accounts and unanswered cut-offs are in the outbox again, with the same ids."""
    events = 0
    for run in await runs.all_waiting(session):
        event = CutoffRequested(
            cutoff_id=run.id, version=1, organisation_id=run.organisation_id, until=run.until,
            requested_at=run.requested_at,
        )  # fmt: skip
        await outbox.publish(session, event, now=now)
        events += 1
    for invoice in await invoices.all_issued(session):
        await outbox.publish(session, InvoiceChanged.of(invoice), now=now)
        events += 1
    for month in await spend.all_published(session):
        told = SpendChanged.model_validate({name: getattr(month, name) for name in SpendChanged.model_fields})
        await outbox.publish(session, told, now=now)
        events += 1
    for account in await accounts.all_published(session):
        if account.version > 0:
            await publish_account(session, account.organisation_id, now=now)
            events += 1
        if account.standing_version > 0:
            standing = StandingChanged.model_validate(
                {
                    "organisation_id": account.organisation_id, "version": account.standing_version,
                    "standing": account.standing, "since": account.standing_since,
                }
            )  # fmt: skip
            await outbox.publish(session, standing, now=now)
            events += 1
    return events
