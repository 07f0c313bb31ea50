"""Answer the cut-offs whose time is complete."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from common import outbox
from metering.db import cutoffs, positions
from metering.db.cutoffs import Cutoff, PeriodTotal
from metering.domain.lateness import closed_month, is_complete, month_of, month_start
from metering.events.period_totalled import PeriodTotalled, Total

_MOST_TOTALS = 5_000


async def answer_cutoffs(session: AsyncSession, *, topic: str, grace: timedelta, now: datetime) -> int:
    """Every waiting cut-off whose `until` + `grace` has been read past on all partitions is answered; how many were.

    The positions stay locked until the commit: no batch can slip in between the totals and the closing of the month,
    so a call is either in the totals or, later, an adjustment.
    """
    states = await positions.lock(session, topic)
    watermarks = [state.watermark_at for state in states.values()]
    ready = [
        cutoff for cutoff in await cutoffs.claim_waiting(session)
        if is_complete(cutoff.until, watermarks=watermarks, grace=grace)
    ]  # fmt: skip
    for cutoff in ready:
        await _answer(session, cutoff, now=now)
    return len(ready)


async def _answer(session: AsyncSession, cutoff: Cutoff, *, now: datetime) -> None:
    start = month_start(cutoff.until)
    totals = await cutoffs.totals(
        session, start=start, end=cutoff.until, organisation_id=cutoff.organisation_id
    )
    parts = list(_parts(cutoff, start, totals))
    for part in parts:
        await outbox.publish(session, part, now=now)
    await cutoffs.answer(session, cutoff.cutoff_id, [part.model_dump(mode="json") for part in parts], now=now)
    month = closed_month(cutoff.until)
    if month is not None:
        await cutoffs.close_month(session, month, organisation_id=cutoff.organisation_id, now=now)


def _parts(cutoff: Cutoff, start: datetime, totals: Sequence[PeriodTotal]) -> Iterator[PeriodTotalled]:
    # No usage at all is an answer too: one part without totals.
    chunks = [totals[i : i + _MOST_TOTALS] for i in range(0, len(totals), _MOST_TOTALS)] or [()]
    for number, chunk in enumerate(chunks, start=1):
        yield PeriodTotalled(
            version=1, cutoff_id=cutoff.cutoff_id, part=number, parts=len(chunks),
            organisation_id=cutoff.organisation_id, until=cutoff.until, month_start=start,
            totals=[
                Total(
                    subscription_id=t.subscription_id, plan_version_id=t.plan_version_id,
                    organisation_id=t.consumer_org, api_id=t.api_id, month=month_of(start),
                    calls=t.calls, billable_calls=t.billable_calls, units=t.units,
                )
                for t in chunk
            ],
        )  # fmt: skip
