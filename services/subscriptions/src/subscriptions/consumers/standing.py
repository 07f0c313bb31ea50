"""billing.standing.v1: who has paid what is owed."""

from datetime import datetime
from uuid import UUID

from pydantic import AwareDatetime
from sqlalchemy.ext.asyncio import AsyncSession

from common.events import Incoming
from subscriptions.domain.subscription import Standing
from subscriptions.usecases.follow_standing import follow_standing


class StandingEvent(Incoming, topic="billing.standing.v1"):
    """The fields that subscriptions read."""

    organisation_id: UUID
    standing: Standing
    since: AwareDatetime


async def on_standing(session: AsyncSession, event: StandingEvent, *, now: datetime) -> None:
    """The organisation's subscriptions stand as its payments do."""
    await follow_standing(
        session,
        organisation_id=event.organisation_id,
        standing=event.standing,
        since=event.since,
        version=event.version,
        now=now,
    )
