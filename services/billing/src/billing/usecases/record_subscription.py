"""A sale, copied."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import accounts, runs, spend, subscriptions
from billing.db.subscriptions import SubscriptionRecord
from billing.domain.period import month_of
from billing.metrics import TERMS_ALTERED
from common.log import get_logger

log = get_logger()


async def record_subscription(session: AsyncSession, record: SubscriptionRecord, *, now: datetime) -> None:
    """The copy is at least as new as `record`; its terms are kept as first sold.

    What was held for it is tried again, and what its month costs is rated anew. Under the organisation's lock: a task
    that is being rated either sees the terms, or is released here.
    """
    await accounts.lock(session, record.organisation_id)
    for plan_version_id in await subscriptions.put(session, record, now=now):
        TERMS_ALTERED.inc()
        log.error(
            "terms.altered",
            subscription_id=record.subscription_id,
            plan_version_id=plan_version_id,
            kept="first sold",
        )
    if record.started_at is not None:
        await spend.note_due(
            session,
            subscription_id=record.subscription_id,
            month=month_of(now).start.date(),
            organisation_id=record.organisation_id,
        )
    await runs.release(session, record.organisation_id, now=now)
