"""Turn an alert into messages to the members who want to be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.db import notifications, organisations
from accounts.domain.errors import OrganisationNotFound
from accounts.domain.notification import LIFETIME, message_of
from common.ids import derived_id
from common.kafka.dead_letters import PoisonMessage

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from accounts.domain.notification import Alert


async def take_alert(
    session: AsyncSession, alert: Alert, *, alert_id: UUID, version: int, organisation_id: UUID, now: datetime
) -> None:
    """A message for each waits to be sent. Its id follows from alert, version and person: no repeat adds one."""
    if alert.at < now - LIFETIME:
        return
    try:
        organisation = await organisations.get(session, organisation_id)
    except OrganisationNotFound:
        raise PoisonMessage(f"an alert for {organisation_id}, which is no organisation") from None
    message = message_of(alert, organisation=organisation.slug)
    for user_id in await notifications.wanting_alerts(session, organisation_id):
        notification_id = derived_id("notification", str(alert_id), str(version), str(user_id))
        await notifications.add(
            session, notification_id, message, organisation_id=organisation_id, user_id=user_id, now=now
        )
