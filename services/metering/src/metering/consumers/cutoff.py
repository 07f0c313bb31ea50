"""billing.cutoff.v1: somebody wants exact totals up to an instant."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from pydantic import AwareDatetime
from sqlalchemy.ext.asyncio import AsyncSession

from common.events import Incoming
from metering.db.cutoffs import Cutoff
from metering.usecases.take_cutoff import take_cutoff


class CutoffEvent(Incoming, topic="billing.cutoff.v1"):
    """A cut-off, of one organisation or of all."""

    cutoff_id: UUID
    organisation_id: UUID | None
    until: AwareDatetime
    requested_at: AwareDatetime


async def on_cutoff(session: AsyncSession, event: CutoffEvent, *, now: datetime) -> None:
    """The cut-off waits for its answer, or, asked again, gets the same answer again."""
    until = event.until.astimezone(UTC)
    cutoff = Cutoff(event.cutoff_id, event.organisation_id, until, event.requested_at)
    await take_cutoff(session, cutoff, now=now)
