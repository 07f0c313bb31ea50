"""Give a member another role."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from accounts.db import audit, memberships, organisations
from accounts.domain.audit import AuditEntry
from accounts.domain.errors import MemberNotFound
from accounts.domain.membership import Membership, Role, check_change
from accounts.metrics import AUDIT_ENTRIES
from common.ids import new_id

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from accounts.domain.audit import Actor


async def change_role(
    session: AsyncSession, organisation_id: UUID, user_id: UUID, *, actor: Actor, role: Role, now: datetime
) -> Membership:
    """The membership with its new role. The lock on the organisation keeps two owners from lowering each other."""
    await organisations.lock(session, organisation_id)
    acting = await memberships.find(session, organisation_id=organisation_id, user_id=actor.user_id)
    target = await memberships.find(session, organisation_id=organisation_id, user_id=user_id)
    if acting is None or target is None:
        raise MemberNotFound
    check_change(acting, target, to=role, owners=await memberships.count_owners(session, organisation_id))
    if target.role is role:
        return target
    changed = replace(target, role=role)
    await memberships.update_role(session, changed)
    entry = AuditEntry(
        id=new_id(), at=now, actor=actor, organisation_id=organisation_id, action="member.role_changed",
        target_id=user_id, before={"role": target.role}, after={"role": role},
    )  # fmt: skip
    await audit.add(session, entry)
    AUDIT_ENTRIES.labels(entry.action).inc()
    return changed
