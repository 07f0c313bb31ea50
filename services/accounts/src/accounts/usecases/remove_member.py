"""End a membership."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.db import audit, memberships, organisations
from accounts.domain.audit import AuditEntry
from accounts.domain.errors import MemberNotFound
from accounts.domain.membership import check_removal
from accounts.metrics import AUDIT_ENTRIES
from common.ids import new_id

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from accounts.domain.audit import Actor


async def remove_member(
    session: AsyncSession, organisation_id: UUID, user_id: UUID, *, actor: Actor, now: datetime
) -> None:
    """The person is no member any more; their access tokens for the organisation stop working with it."""
    await organisations.lock(session, organisation_id)
    acting = await memberships.find(session, organisation_id=organisation_id, user_id=actor.user_id)
    target = await memberships.find(session, organisation_id=organisation_id, user_id=user_id)
    if acting is None or target is None:
        raise MemberNotFound
    check_removal(acting, target, owners=await memberships.count_owners(session, organisation_id))
    await memberships.remove(session, target)
    entry = AuditEntry(
        id=new_id(), at=now, actor=actor, organisation_id=organisation_id, action="member.removed",
        target_id=user_id, before={"role": target.role},
    )  # fmt: skip
    await audit.add(session, entry)
    AUDIT_ENTRIES.labels(entry.action).inc()
