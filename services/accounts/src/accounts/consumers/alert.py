"""metering.alert.v1: an organisation's alert rule has something to say."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime
from sqlalchemy.ext.asyncio import AsyncSession

from accounts.domain.notification import Alert
from accounts.usecases.take_alert import take_alert
from common.events import Incoming


class AlertEvent(Incoming, topic="metering.alert.v1"):
    """One crossing's beginning or end, or a test."""

    alert_id: UUID
    rule_id: UUID
    organisation_id: UUID
    name: str
    kind: str
    subscription_id: UUID | None
    api_id: UUID | None
    state: Literal["firing", "resolved", "test"]
    silenced: bool
    threshold: Decimal
    value: Decimal | None
    unit: str
    period: str
    period_start: AwareDatetime
    at: AwareDatetime


async def on_alert(session: AsyncSession, event: AlertEvent, *, now: datetime) -> None:
    """A message waits for each member who wants to be told, once however often the event comes."""
    if event.silenced:
        return
    alert = Alert(**event.model_dump(exclude={"version", "alert_id", "organisation_id", "silenced"}))
    await take_alert(
        session,
        alert,
        alert_id=event.alert_id,
        version=event.version,
        organisation_id=event.organisation_id,
        now=now,
    )
