"""Publish what changed since it was last published."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from common import outbox
from metering.db import alerts, api_statistics, cutoffs, rollups
from metering.events.usage_adjusted import UsageAdjusted
from metering.events.usage_changed import UsageChanged

_MOST = 500


async def publish_usage(session: AsyncSession, *, now: datetime) -> int:
    """Changed days and adjusted months are in the outbox, with absolute values; how many (0: nothing is due).

    A row that a batch is changing at this moment is left for the next time, so a busy row goes out about as often
    as this is called, not once per batch.
    """
    days = await rollups.claim_due_days(session, limit=_MOST)
    await alerts.note_changed(
        session, subscriptions=[d.subscription_id for d in days], apis=[d.api_id for d in days], now=now
    )
    await api_statistics.note_changed(session, [d.api_id for d in days], now=now)
    for day in days:
        await outbox.publish(
            session,
            UsageChanged(
                version=day.version, subscription_id=day.subscription_id, plan_version_id=day.plan_version_id,
                organisation_id=day.consumer_org, provider_organisation_id=day.provider_org, api_id=day.api_id,
                date=day.day, calls=day.totals.calls, billable_calls=day.totals.billable_calls, units=day.totals.units,
                errors_4xx=day.totals.errors_4xx, errors_5xx=day.totals.errors_5xx,
                rejected_rate_limited=day.totals.rejected_rate_limited,
                rejected_forbidden=day.totals.rejected_forbidden, bytes_out=day.totals.bytes_out,
            ),
            now=now,
        )  # fmt: skip
    adjustments = await cutoffs.claim_adjustments(session, limit=_MOST)
    for month in adjustments:
        await outbox.publish(
            session,
            UsageAdjusted(
                version=month.version, subscription_id=month.subscription_id, plan_version_id=month.plan_version_id,
                organisation_id=month.consumer_org, provider_organisation_id=month.provider_org, api_id=month.api_id,
                month=month.month, calls=month.calls, billable_calls=month.billable_calls, units=month.units,
            ),
            now=now,
        )  # fmt: skip
    return len(days) + len(adjustments)
