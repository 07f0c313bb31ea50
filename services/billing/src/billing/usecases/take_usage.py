"""Keep metering's word of a day's usage."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import spend, usage
from billing.db.usage import Day


async def take_usage(session: AsyncSession, day: Day) -> None:
    """The copy is stored if it is newer, and its month is to be rated anew."""
    if await usage.put_day(session, day):
        await spend.note_due(
            session,
            subscription_id=day.subscription_id,
            month=day.day.replace(day=1),
            organisation_id=day.organisation_id,
        )
