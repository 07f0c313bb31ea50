"""Publish again with versions that nobody can have seen."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from metering.db import versions
from metering.domain.lateness import LATEST_ARRIVAL, month_of
from metering.usecases.republish import republish


async def raise_versions(session: AsyncSession, *, now: datetime) -> int:
    """Everything that may still change goes out once more, with a version above all before; how many events.

    For the time after a standby took over that lacked what had been published: it counts up to the same values, but
    gives versions a second time that readers know already.
    """
    await versions.raise_all(session, since=month_of(now - LATEST_ARRIVAL))
    return await republish(session, now)
