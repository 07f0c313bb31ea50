"""Send a test of an alert rule: the way to the people, without a crossing."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from common import outbox
from common.ids import new_id
from metering.db import alerts
from metering.db.alerts import AuditEntry
from metering.domain import alert
from metering.domain.alert import AlertState
from metering.domain.errors import AlertTestTooSoon
from metering.events.alert_changed import AlertChanged
from metering.metrics import ALERTS

_PAUSE = timedelta(minutes=1)


async def send_test_alert(
    session: AsyncSession, rule_id: UUID, *, organisation_id: UUID, actor_user_id: UUID, now: datetime
) -> UUID:
    """A notification that says that it is a test is on its way, silence or not, and on record; the alert's id."""
    rule = await alerts.lock(session, rule_id, organisation_id=organisation_id)
    if rule.tested_at is not None and now < rule.tested_at + _PAUSE:
        raise AlertTestTooSoon("This rule was tested less than a minute ago: wait a minute.")
    await alerts.put(session, replace(rule, tested_at=now), due_at=now)
    event = AlertChanged(
        version=1, alert_id=new_id(), rule_id=rule.id, organisation_id=rule.organisation_id, name=rule.name,
        kind=rule.kind, subscription_id=rule.subscription_id, api_id=rule.api_id, state=AlertState.TEST,
        silenced=False, threshold=rule.threshold, value=None, unit=alert.unit_of(rule.kind), period=rule.period,
        period_start=alert.period_start(rule.period, now), at=now,
    )  # fmt: skip
    await outbox.publish(session, event, now=now)
    ALERTS.labels(rule.kind, AlertState.TEST).inc()
    entry = AuditEntry(
        id=new_id(), at=now, organisation_id=organisation_id, rule_id=rule_id, actor_user_id=actor_user_id,
        action="tested", before={}, after={},
    )  # fmt: skip
    await alerts.add_audit(session, entry)
    return event.alert_id
