"""Answer the cut-offs whose time is complete."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from common import outbox
from common.log import get_logger
from metering.db import cutoffs, gateway_counts, positions
from metering.db.cutoffs import Cutoff, PeriodTotal
from metering.domain.completeness import Share
from metering.domain.lateness import closed_month, is_complete, month_of, month_start
from metering.events.period_totalled import Incomplete, PeriodTotalled, Total

_MOST_TOTALS = 5_000
_Key = tuple[UUID, UUID]  # API and subscription
log = get_logger()


@dataclass(frozen=True, slots=True)
class CompletenessRule:
    """Below how many per cent the answer names what is missing, and how long it waits to know; None: not at all."""

    bound: Decimal
    wait: timedelta | None


_UNASKED = CompletenessRule(Decimal(0), None)


async def answer_cutoffs(
    session: AsyncSession,
    *,
    topic: str,
    grace: timedelta,
    completeness: CompletenessRule = _UNASKED,
    now: datetime,
) -> int:
    """Every waiting cut-off whose `until` + `grace` has been read past on all partitions is answered; how many were.

    Where the gateway's counters are read, the answer also waits until they are compared up to `until`, for a while.
    The positions stay locked until the commit: no batch can slip in between the totals and the closing of the month,
    so a call is either in the totals or, later, an adjustment.
    """
    states = await positions.lock(session, topic)
    watermarks = [state.watermark_at for state in states.values()]
    ready = [
        cutoff for cutoff in await cutoffs.claim_waiting(session)
        if is_complete(cutoff.until, watermarks=watermarks, grace=grace)
        and await _is_known(session, cutoff, completeness, grace=grace, now=now)
    ]  # fmt: skip
    for cutoff in ready:
        await _answer(session, cutoff, completeness.bound, now=now)
    return len(ready)


async def _is_known(
    session: AsyncSession, cutoff: Cutoff, rule: CompletenessRule, *, grace: timedelta, now: datetime
) -> bool:
    if rule.wait is None or await gateway_counts.is_judged(session, cutoff.until):
        return True
    if now < max(cutoff.until, cutoff.requested_at) + grace + rule.wait:
        return False
    log.error("cutoff.completeness_unknown", cutoff_id=cutoff.cutoff_id, until=cutoff.until)
    return True


async def _answer(session: AsyncSession, cutoff: Cutoff, bound: Decimal, *, now: datetime) -> None:
    start = month_start(cutoff.until)
    totals = await cutoffs.totals(
        session, start=start, end=cutoff.until, organisation_id=cutoff.organisation_id
    )
    shares = await gateway_counts.of_subscriptions(session, start=start, end=cutoff.until)
    incomplete = {key: share for key, share in shares.items() if share.is_below(bound)}
    totals += await _uncounted(session, cutoff, totals, incomplete)
    parts = list(_parts(cutoff, start, totals, incomplete))
    for part in parts:
        await outbox.publish(session, part, now=now)
    await cutoffs.answer(session, cutoff.cutoff_id, [part.model_dump(mode="json") for part in parts], now=now)
    month = closed_month(cutoff.until)
    if month is not None:
        await cutoffs.close_month(session, month, organisation_id=cutoff.organisation_id, now=now)


async def _uncounted(
    session: AsyncSession, cutoff: Cutoff, totals: Sequence[PeriodTotal], incomplete: Mapping[_Key, Share]
) -> list[PeriodTotal]:
    """Subscriptions of which every call is missing have no total: they get one of zero, so that they are named."""
    named = {(total.api_id, total.subscription_id) for total in totals}
    unnamed = [key for key in incomplete if key not in named]
    known = await gateway_counts.subscribers(session, [subscription_id for _, subscription_id in unnamed])
    return [
        PeriodTotal(subscription_id, who.plan_version_id, who.consumer_org, api_id, 0, 0, 0)
        for api_id, subscription_id in unnamed
        if (who := known.get(subscription_id)) and cutoff.organisation_id in (None, who.consumer_org)
    ]


def _parts(
    cutoff: Cutoff, start: datetime, totals: Sequence[PeriodTotal], incomplete: Mapping[_Key, Share]
) -> Iterator[PeriodTotalled]:
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
                    incomplete=_incomplete(incomplete.get((t.api_id, t.subscription_id))),
                )
                for t in chunk
            ],
        )  # fmt: skip


def _incomplete(share: Share | None) -> Incomplete | None:
    return Incomplete(counted=share.counted, metered=share.metered, missing=share.missing) if share else None
