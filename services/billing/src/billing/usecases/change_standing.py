"""Whether an organisation pays."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import accounts
from billing.events.standing_changed import StandingChanged
from common import outbox
from common.log import get_logger

log = get_logger()


async def change_standing(
    session: AsyncSession, organisation_id: UUID, standing: Literal["good", "past_due"], *, now: datetime
) -> None:
    """The organisation's standing is that from now on, and published."""
    await accounts.record_standing(session, organisation_id, standing, now=now)
    account = await accounts.lock(session, organisation_id)
    event = StandingChanged(
        organisation_id=organisation_id, version=account.standing_version, standing=standing, since=now
    )
    await outbox.publish(session, event, now=now)
    log.info("standing.changed", organisation_id=organisation_id, standing=standing)
