"""Stopping and restoring an organisation's subscriptions as billing says."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from subscriptions.db import copies, subscriptions
from subscriptions.domain.lifecycle import Action
from subscriptions.domain.subscription import Standing, Status
from subscriptions.usecases.change_status import change_status


async def follow_standing(
    session: AsyncSession,
    *,
    organisation_id: UUID,
    standing: Standing,
    since: datetime,
    version: int,
    now: datetime,
) -> None:
    """Past due: what was active waits. Good again: what waited goes on. What was paused stays paused."""
    await copies.lock_standing(session, organisation_id)
    values = {
        "organisation_id": organisation_id, "version": version, "standing": standing.value, "since": since,
    }  # fmt: skip
    if not await copies.put_standing(session, values):
        return
    falls = standing is Standing.PAST_DUE
    status, action = (Status.ACTIVE, Action.FALL_DUE) if falls else (Status.PAST_DUE, Action.RECOVER)
    affected = await subscriptions.lock_by_status(session, organisation_id=organisation_id, status=status)
    for subscription in affected:
        await change_status(session, subscription, action, standing=standing, now=now)
