"""The audit trail: entries are added and read, never changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Row, insert, select

from accounts.db.tables import audit_entry
from accounts.domain.audit import Actor, AuditEntry

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession


def _to_entry(row: Row[Any]) -> AuditEntry:
    fields = dict(row._mapping)
    actor = Actor(user_id=fields.pop("actor_user_id"), network=fields.pop("network"))
    return AuditEntry(actor=actor, **fields)


async def add(session: AsyncSession, entry: AuditEntry) -> None:
    """The entry is on record once the transaction commits."""
    await session.execute(
        insert(audit_entry).values(
            id=entry.id, at=entry.at, actor_user_id=entry.actor.user_id, network=entry.actor.network,
            organisation_id=entry.organisation_id, action=entry.action, target_id=entry.target_id,
            before=dict(entry.before), after=dict(entry.after),
        )
    )  # fmt: skip


async def list_page(
    session: AsyncSession, *, organisation_id: UUID | None, before: UUID | None, limit: int
) -> Sequence[AuditEntry]:
    """At most `limit` entries, the newest first, older than the entry `before`; of one organisation if given."""
    statement = select(audit_entry).order_by(audit_entry.c.id.desc()).limit(limit)
    if organisation_id is not None:
        statement = statement.where(audit_entry.c.organisation_id == organisation_id)
    if before is not None:
        statement = statement.where(audit_entry.c.id < before)
    return [_to_entry(row) for row in await session.execute(statement)]
