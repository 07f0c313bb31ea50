"""Publish the present state again, for a broker that lost its log or a reader that rebuilds its copy."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from common import outbox
from metering.db import alerts, api_statistics, cutoffs, key_uses, quotas, rollups
from metering.domain.alert import AlertState
from metering.domain.lateness import month_of
from metering.domain.quota import QuotaState
from metering.events.alert_changed import AlertChanged
from metering.events.period_totalled import PeriodTotalled
from metering.events.quota_changed import QuotaChanged


async def republish(session: AsyncSession, now: datetime) -> int:
    """Usage days, adjustments, period parts, quotas, recent alerts, keys' last uses and APIs' statistics go out again,
    same versions and ids; how many.

    All but periods, quotas and alerts are only marked as due: the worker publishes them in its own small portions.
    """
    events = [PeriodTotalled.model_validate(answer) for answer in await cutoffs.answers(session)]
    running = [
        QuotaChanged.of(
            subscription_id=row.subscription_id, month=row.month, version=row.version, limit=row.quota, used=row.used,
            state=QuotaState(row.state),
        )
        for row in await quotas.announced_since(session, month_of(now))
    ]  # fmt: skip
    told = [
        AlertChanged.of(
            rule, crossing, state=AlertState.RESOLVED if crossing.resolved_at else AlertState.FIRING,
            at=crossing.resolved_at or crossing.fired_at,
        )
        for rule, crossing in await alerts.recent(session, now=now)
    ]  # fmt: skip
    for event in (*events, *running, *told):
        await outbox.publish(session, event, now=now)
    days = await rollups.make_all_due(session)
    adjustments = await cutoffs.make_adjustments_due(session)
    keys = await key_uses.make_all_due(session)
    apis = await api_statistics.make_all_due(session, now=now)
    return len(events) + len(running) + len(told) + days + adjustments + keys + apis
