"""Make an alert rule."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from common.ids import new_id
from metering.db import alert_readings, alerts
from metering.db.alerts import AuditEntry
from metering.domain import alert
from metering.domain.alert import AlertRule
from metering.domain.errors import AlertSubjectUnknown, TooManyAlertRules

_MOST = 100


async def create_alert_rule(
    session: AsyncSession, rule: AlertRule, *, actor_user_id: UUID, now: datetime
) -> AlertRule:
    """The rule is watched from now on, and on record."""
    alert.check(rule)
    if not await alert_readings.owns_subject(session, rule):
        field, whose = (
            ("subscription_id", "subscription of your organisation")
            if rule.subscription_id
            else ("api_id", "API that your organisation provides")
        )
        raise AlertSubjectUnknown(f"There is no such {whose}.", field=field)
    if await alerts.count_of(session, rule.organisation_id) >= _MOST:
        raise TooManyAlertRules(
            f"An organisation has at most {_MOST} alert rules: delete one that you do not need."
        )
    await alerts.add(session, rule, due_at=now)
    entry = AuditEntry(
        id=new_id(), at=now, organisation_id=rule.organisation_id, rule_id=rule.id, actor_user_id=actor_user_id,
        action="created", before={}, after=alert.described(rule),
    )  # fmt: skip
    await alerts.add_audit(session, entry)
    return rule
