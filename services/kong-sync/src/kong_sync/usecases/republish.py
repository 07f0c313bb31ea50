"""Publish again what we last told."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from common import outbox
from kong_sync.db import progress
from kong_sync.events.progress import progress_event


async def republish(session: AsyncSession, now: datetime) -> int:
    """The progress of every API and subscription is in the outbox again, with the same versions; how many."""
    told = await progress.all_told(session)
    for one in told.values():
        await outbox.publish(session, progress_event(one.owner, one.version, one.progress), now=now)
    return len(told)
