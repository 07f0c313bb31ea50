"""Compare what the gateway counted with what is metered."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from common import outbox
from common.log import get_logger
from metering.db import gateway_counts, positions
from metering.db.gateway_counts import ApiShare
from metering.events.completeness_judged import CompletenessJudged
from metering.metrics import COMPLETENESS_COUNTED, COMPLETENESS_MISSING, COMPLETENESS_PERCENT

_AGAIN = timedelta(minutes=10)
_MOST_APIS = 100_000
log = get_logger()


async def judge_completeness(
    session: AsyncSession, *, topic: str, grace: timedelta, bound: Decimal, now: datetime
) -> int:
    """Closed spans of which every call should have arrived are judged; how many were.

    For an API of which less than `bound` per cent is metered an event goes out, and again when that changes: a call
    that comes late (from the gateway's log file) mends the share.
    """
    read_to = await positions.as_of(session, topic)
    if read_to is None:
        return 0
    judged = await gateway_counts.judge(session, read_to=read_to - grace, again=now - _AGAIN, now=now)
    for span, times in judged:
        shares = await gateway_counts.list_shares(
            session, start=span.began_from, end=span.until_from, api_id=None, provider_org=None, after=None,
            limit=_MOST_APIS,
        )  # fmt: skip
        own = [found for found in shares if found.span.id == span.id]
        _show(own, first=times == 1)
        for found in own:
            if found.share.is_below(bound) or (times > 1 and found.share.counted):
                await _tell(session, found, times=times, bound=bound, now=now)
    return len(judged)


def _show(shares: list[ApiShare], *, first: bool) -> None:
    counted = sum(found.share.counted for found in shares)
    missing = sum(found.share.missing for found in shares)
    COMPLETENESS_COUNTED.inc(counted if first else 0)
    COMPLETENESS_MISSING.inc(missing if first else 0)
    if counted:
        COMPLETENESS_PERCENT.set(float(100 * (counted - missing) / counted))


async def _tell(session: AsyncSession, found: ApiShare, *, times: int, bound: Decimal, now: datetime) -> None:
    span, share = found.span, found.share
    of_api: dict[UUID, list[UUID]] = defaultdict(list)
    for (api_id, subscription_id), own in (
        await gateway_counts.of_subscriptions(session, start=span.began_from, end=span.until_from)
    ).items():
        if own.is_below(bound):
            of_api[api_id].append(subscription_id)
    event = CompletenessJudged(
        version=times, api_id=found.api_id, provider_organisation_id=found.provider_org, start=span.began_from,
        until=span.until_from, counted=share.counted, metered=share.metered, missing=share.missing,
        percent=str(share.percent), complete=not share.is_below(bound), subscription_ids=of_api[found.api_id],
    )  # fmt: skip
    await outbox.publish(session, event, now=now)
    if share.is_below(bound):
        log.error(
            "completeness.below_bound", api_id=found.api_id, missing=share.missing, counted=share.counted,
            start=span.began_from, until=span.until_from,
        )  # fmt: skip
