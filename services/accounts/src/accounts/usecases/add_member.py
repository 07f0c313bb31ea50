"""Add a person to an organisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.db import audit, memberships, organisations, proofs, users
from accounts.db.memberships import Colleague
from accounts.domain.audit import AuditEntry
from accounts.domain.errors import AlreadyMember, MemberNotFound, UserNotFound
from accounts.domain.membership import Membership, Role, check_grant
from accounts.metrics import AUDIT_ENTRIES
from common.ids import new_id

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from accounts.domain.audit import Actor


async def add_member(
    session: AsyncSession, organisation_id: UUID, *, actor: Actor, email: str, role: Role, now: datetime
) -> Colleague:
    """The person with this verified address, who has signed in before, is a member with `role`.

    The actor's role is read anew: the one in their token may be minutes old.
    """
    await organisations.lock(session, organisation_id)
    acting = await memberships.find(session, organisation_id=organisation_id, user_id=actor.user_id)
    if acting is None:
        raise MemberNotFound
    check_grant(acting.role, role)
    await proofs.email(session, email)
    person = await users.find_by_email(session, email)
    if person is None:
        raise UserNotFound
    new = Membership(organisation_id=organisation_id, user_id=person.id, role=role, created_at=now)
    if not await memberships.insert_if_absent(session, new):
        raise AlreadyMember
    entry = AuditEntry(
        id=new_id(), at=now, actor=actor, organisation_id=organisation_id, action="member.added",
        target_id=person.id, after={"role": role},
    )  # fmt: skip
    await audit.add(session, entry)
    AUDIT_ENTRIES.labels(entry.action).inc()
    return Colleague(membership=new, email=person.email, name=person.name)
