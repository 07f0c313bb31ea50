"""Who has not paid for too long."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import accounts, invoices
from billing.usecases.change_standing import change_standing


async def mark_past_due(session: AsyncSession, *, grace: timedelta, now: datetime) -> bool:
    """One organisation with an invoice open for longer than `grace` is past due. False: there is none."""
    overdue_before = now - grace
    organisation_id = await invoices.find_overdue_debtor(session, issued_before=overdue_before)
    if organisation_id is None:
        return False
    account = await accounts.lock(session, organisation_id)
    # Looked at again under the lock: a payment may have come in between.
    overdue = await invoices.has_overdue(session, organisation_id, issued_before=overdue_before)
    if overdue and account.standing == "good":
        await change_standing(session, organisation_id, "past_due", now=now)
    return True
