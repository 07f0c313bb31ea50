"""Keep our copy of a subscription."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from metering.db import alerts, copies, quotas
from metering.db.copies import SubscriptionCopy
from metering.domain.lateness import month_of
from metering.domain.rollup import Counter
from metering.usecases.judge_quotas import judge_quotas


async def take_subscription(session: AsyncSession, copy: SubscriptionCopy, *, now: datetime) -> None:
    """The copy is stored if it is newer, and the quota of this month is judged anew: a new plan may lift a stop."""
    if not await copies.put_subscription(session, copy):
        return
    counter = Counter(str(copy.consumer_org), str(copy.api_id), month_of(now))
    units = await quotas.lock(session, counter, provider_org=copy.provider_org)
    await judge_quotas(session, await quotas.standings(session, counter, units=units), now=now)
    await alerts.note_changed(session, subscriptions=[copy.subscription_id], apis=[], now=now)
