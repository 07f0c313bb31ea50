"""Rows of `api_statistics`, the copy of what metering measures."""

from dataclasses import asdict
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.db.tables import api, api_statistics
from catalog.domain.api import Statistics


async def put(session: AsyncSession, api_id: UUID, measured: Statistics, *, version: int) -> None:
    """The API was measured so, and stands in the list by it, unless something newer is known."""
    values = {"version": version} | asdict(measured)
    statement = insert(api_statistics).values(api_id=api_id, **values)
    newer = statement.excluded.version > api_statistics.c.version
    stored = statement.on_conflict_do_update(index_elements=["api_id"], set_=values, where=newer)
    if (await session.execute(stored.returning(api_statistics.c.api_id))).first() is not None:
        await session.execute(update(api).where(api.c.id == api_id).values(total_calls=measured.calls))
