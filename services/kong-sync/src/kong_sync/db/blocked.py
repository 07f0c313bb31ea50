"""What an operator blocked."""

from __future__ import annotations

from dataclasses import asdict
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from kong_sync.db.tables import blocked_address, blocked_audit
from kong_sync.domain.blocked import AuditEntry, BlockedAddress

_TABLE = blocked_address


async def addresses(session: AsyncSession) -> list[str]:
    """All of them, in order."""
    return list(await session.scalars(select(_TABLE.c.address).order_by(_TABLE.c.address)))


async def list_page(session: AsyncSession, *, after: str | None, limit: int) -> list[BlockedAddress]:
    """At most `limit`, in the order of their text, behind `after`."""
    query = select(_TABLE).order_by(_TABLE.c.address).limit(limit)
    if after is not None:
        query = query.where(_TABLE.c.address > after)
    return [BlockedAddress(**row) for row in (await session.execute(query)).mappings()]


async def count(session: AsyncSession) -> int:
    """How many there are."""
    return await session.scalar(select(func.count()).select_from(_TABLE)) or 0


async def insert_if_absent(session: AsyncSession, blocked: BlockedAddress) -> bool:
    """Whether it was not blocked before."""
    values = {"address": blocked.address, "reason": blocked.reason, "blocked_at": blocked.blocked_at}
    statement = insert(_TABLE).values(values).on_conflict_do_nothing()
    return (await session.execute(statement.returning(_TABLE.c.address))).first() is not None


async def remove(session: AsyncSession, address: str) -> bool:
    """Whether it was blocked."""
    statement = delete(_TABLE).where(_TABLE.c.address == address).returning(_TABLE.c.address)
    return (await session.execute(statement)).first() is not None


async def add_audit(session: AsyncSession, entry: AuditEntry) -> None:
    """The entry is on record once the transaction commits."""
    await session.execute(blocked_audit.insert().values(asdict(entry)))


async def list_audit(session: AsyncSession, *, before: UUID | None, limit: int) -> list[AuditEntry]:
    """At most `limit` entries, the newest first, older than the entry `before`."""
    query = select(blocked_audit).order_by(blocked_audit.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(blocked_audit.c.id < before)
    return [AuditEntry(**row) for row in (await session.execute(query)).mappings()]
