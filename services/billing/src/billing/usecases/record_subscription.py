"""A sale, copied."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import accounts, runs, subscriptions
from billing.db.subscriptions import SubscriptionRecord
from billing.metrics import TERMS_ALTERED
from common.log import get_logger

log = get_logger()


async def record_subscription(session: AsyncSession, record: SubscriptionRecord, *, now: datetime) -> None:
    """The copy is at least as new as `record`; its terms are kept as first sold; what was held for it is tried again.

    Under the organisation's lock: a task that is being rated either sees the terms, or is released here.
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
    await runs.release(session, record.organisation_id, now=now)
