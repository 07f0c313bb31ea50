"""Who has not paid for too long."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import accounts, invoices
from billing.usecases.change_standing import change_standing


async def mark_past_due(session: AsyncSession, *, grace: timedelta, now: datetime) -> int:
    """Organisations with an invoice open for longer than `grace` are past due; returns how many became so."""
    marked, overdue_before = 0, now - grace
    for organisation_id in sorted(await invoices.overdue_debtors(session, issued_before=overdue_before)):
        account = await accounts.lock(session, organisation_id)
        # Looked at again under the lock: a payment may have come in between.
        overdue = await invoices.has_overdue(session, organisation_id, issued_before=overdue_before)
        if overdue and account.standing == "good":
            await change_standing(session, organisation_id, "past_due", now=now)
            marked += 1
    return marked
