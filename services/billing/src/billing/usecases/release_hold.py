"""Let an invoice go on although calls are missing."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import holds, runs
from billing.db.holds import Hold
from common.log import get_logger

log = get_logger()


async def release_hold(
    session: AsyncSession, hold_id: UUID, *, released_by: UUID, note: str, now: datetime
) -> Hold:
    """The hold is released, for good and with who and why; with the last one of an organisation its close goes on."""
    hold = await holds.release(session, hold_id, released_by=released_by, note=note, now=now)
    if not await holds.is_held(session, hold.run_id, hold.organisation_id):
        await runs.release(session, hold.organisation_id, now=now)
    log.warning("invoice.released", hold_id=hold.id, released_by=hold.released_by, missing=hold.missing)
    return hold
