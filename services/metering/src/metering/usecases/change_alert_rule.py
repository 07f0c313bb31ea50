"""Change an alert rule: its name, its threshold, whether it is on, until when it is silent, or that it is gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from common.http.etag import require_match
from common.ids import new_id
from metering.db import alerts
from metering.db.alerts import AuditEntry
from metering.domain import alert
from metering.domain.alert import AlertRule


async def change_alert_rule(
    session: AsyncSession,
    rule_id: UUID,
    *,
    organisation_id: UUID,
    changes: Mapping[str, Any],
    actor_user_id: UUID,
    if_match: str | None,
    now: datetime,
) -> AlertRule:
    """The rule with `changes`, judged anew from now on, and the change on record; nothing when nothing changes."""
    before = await alerts.lock(session, rule_id, organisation_id=organisation_id)
    require_match(if_match, before.version)
    after = replace(before, **changes)
    if after == before:
        return before
    alert.check(after)
    after = replace(after, version=before.version + 1, updated_at=now)
    await alerts.put(session, after, due_at=now)
    entry = AuditEntry(
        id=new_id(), at=now, organisation_id=organisation_id, rule_id=rule_id, actor_user_id=actor_user_id,
        action="changed" if after.deleted_at is None else "deleted",
        before=alert.described(before, only=changes), after=alert.described(after, only=changes),
    )  # fmt: skip
    await alerts.add_audit(session, entry)
    return after
