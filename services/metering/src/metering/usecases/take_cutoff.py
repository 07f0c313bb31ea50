"""Take a request for exact totals."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from common import outbox
from metering.db import cutoffs
from metering.db.cutoffs import Cutoff
from metering.events.period_totalled import PeriodTotalled


async def take_cutoff(session: AsyncSession, cutoff: Cutoff, *, now: datetime) -> None:
    """The cut-off is kept and waits; one that was answered before is answered by the same parts again."""
    for answer in await cutoffs.answers(session, cutoff.cutoff_id):
        await outbox.publish(session, PeriodTotalled.model_validate(answer), now=now)
    await cutoffs.ask(session, cutoff)
