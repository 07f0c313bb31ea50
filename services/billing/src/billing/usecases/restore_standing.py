"""Good standing, when nothing is overdue any more."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import accounts, invoices
from billing.usecases.change_standing import change_standing


async def restore_standing(
    session: AsyncSession, organisation_id: UUID, *, grace: timedelta, now: datetime
) -> None:
    """An organisation without an invoice open for longer than `grace` is in good standing, and that is published."""
    account = await accounts.lock(session, organisation_id)
    known_good = account.standing == "good" and account.standing_version > 0
    if known_good or await invoices.has_overdue(session, organisation_id, issued_before=now - grace):
        return
    await change_standing(session, organisation_id, "good", now=now)
