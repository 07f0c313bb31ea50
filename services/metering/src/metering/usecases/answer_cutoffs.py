"""Answer the cut-offs whose time is complete."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from common import outbox
from common.log import get_logger
from metering.db import cutoffs, file_positions, gateway_counts, positions, roots
from metering.db.cutoffs import Cutoff, PeriodTotal
from metering.domain.completeness import Known, Share
from metering.domain.lateness import closed_month, is_complete, month_of, month_start
from metering.domain.windows import ceil_hour
from metering.events.period_totalled import Incomplete, PeriodTotalled, Total
from metering.metrics import CUTOFFS_HELD, CUTOFFS_UNJUDGED

_MOST_TOTALS = 5_000
_MOST_HOURS = 31 * 24
_Key = tuple[UUID, UUID]  # API and subscription
log = get_logger()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an answer waits for the gateway's log files and for its counters, and whether it goes without them.

    Below `bound` per cent the answer names what is missing. No `counters`: they are not read, nothing is to be known.
    """

    file_log: timedelta
    bound: Decimal
    counters: timedelta | None
    holds: bool = False


_NONE = Patience(timedelta(0), Decimal(0), None)


async def answer_cutoffs(
    session: AsyncSession, *, topic: str, grace: timedelta, patience: Patience = _NONE, now: datetime
) -> int:
    """Every waiting cut-off whose `until` + `grace` has been read past on all partitions is answered; how many were.

    Where a log file is followed, the answer also waits until it was read that far and what was in it is counted; where
    the gateway's counters are read, until they are compared up to `until`; both for a while.
    The positions stay locked until the commit: no batch can slip in between the totals and the closing of the month,
    so a call is either in the totals or, later, an adjustment.
    """
    states = await positions.lock(session, topic)
    marks = [state.watermark_at for state in states.values()]
    clusters = {state.cluster_id for state in states.values()}
    answered = held = 0
    for cutoff in await cutoffs.claim_waiting(session):
        if not is_complete(cutoff.until, watermarks=marks, grace=grace):
            continue
        since = max(cutoff.until, cutoff.requested_at) + grace
        counted = await _has_file_logs(session, cutoff, marks, clusters, grace=grace, now=now)
        if not counted and now < since + patience.file_log:
            continue
        known = await _is_judged(session, cutoff, patience, since=since, now=now)
        held += known is Known.HELD
        if known is Known.YES:
            if not counted:
                _say_unknown("file_log", cutoff)
            await _answer(session, cutoff, patience.bound, now=now)
            answered += 1
    CUTOFFS_HELD.set(held)
    return answered


async def _has_file_logs(
    session: AsyncSession, cutoff: Cutoff, marks: Sequence[datetime | None], clusters: Collection[str], *,
    grace: timedelta, now: datetime,
) -> bool:  # fmt: skip
    """What the gateways had written to their log files by `until` + `grace` is counted."""
    read_at = cutoff.files_read_at
    if read_at is None:
        logs = await file_positions.are_read_past(session, cutoff.until + grace, clusters=clusters)
        if not logs:
            return True
        if all(logs.values()):
            await cutoffs.note_files_read(session, cutoff.cutoff_id, now=now)
        return False
    return is_complete(read_at, watermarks=marks, grace=timedelta(0))


async def _is_judged(
    session: AsyncSession, cutoff: Cutoff, patience: Patience, *, since: datetime, now: datetime
) -> Known:
    if patience.counters is None or await gateway_counts.is_judged(session, cutoff.until):
        return Known.YES
    if now < since + patience.counters:
        return Known.NOT_YET
    if patience.holds:
        return Known.HELD
    _say_unknown("completeness", cutoff)
    return Known.YES


def _say_unknown(what: str, cutoff: Cutoff) -> None:
    CUTOFFS_UNJUDGED.labels(what).inc()
    log.error("cutoff.answered_unjudged", unknown=what, cutoff_id=cutoff.cutoff_id, until=cutoff.until)


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
    if cutoff.organisation_id is not None:  # of everybody it would take long: the worker does it later
        await _seal(session, totals, start, cutoff.until, now=now)
    month = closed_month(cutoff.until)
    if month is not None:
        await cutoffs.close_month(session, month, organisation_id=cutoff.organisation_id, now=now)


async def _seal(
    session: AsyncSession, totals: Sequence[PeriodTotal], start: datetime, until: datetime, *, now: datetime
) -> None:
    """The lines that rest on these totals can be checked at once: every hour has a root, also the one that began."""
    for total in totals:
        of = (total.subscription_id, total.plan_version_id)
        for hour in await roots.due(session, start=start, end=ceil_hour(until), limit=_MOST_HOURS, of=of):
            await roots.seal(session, hour, now=now)


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
