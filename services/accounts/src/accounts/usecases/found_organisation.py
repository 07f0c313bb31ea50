"""Found an organisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.db import audit, memberships, organisations, proofs
from accounts.domain import organisation
from accounts.domain.audit import AuditEntry
from accounts.domain.errors import SlugTaken
from accounts.domain.membership import Membership, Role
from accounts.events.organisation_changed import OrganisationChanged
from accounts.metrics import AUDIT_ENTRIES, ORGANISATIONS_FOUNDED
from common import outbox
from common.ids import new_id

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncSession

    from accounts.domain.audit import Actor
    from accounts.domain.organisation import Organisation


async def found_organisation(
    session: AsyncSession, *, actor: Actor, slug: str, name: str, now: datetime
) -> Organisation:
    """A new organisation whose first owner is the actor."""
    founded = organisation.found(new_id(), slug=slug, name=name, at=now)
    await proofs.user(session, actor.user_id)
    async with proofs.founder(session, founded.id):
        # The unique index decides, not a prior read.
        if not await organisations.insert_if_absent(session, founded):
            raise SlugTaken(slug)
        owner = Membership(organisation_id=founded.id, user_id=actor.user_id, role=Role.OWNER, created_at=now)
        await memberships.insert_if_absent(session, owner)
        entry = AuditEntry(
            id=new_id(), at=now, actor=actor, organisation_id=founded.id, action="organisation.founded",
            target_id=founded.id, after={"slug": slug, "name": name},
        )  # fmt: skip
        await audit.add(session, entry)
    await outbox.publish(session, OrganisationChanged.of(founded), now=now)
    ORGANISATIONS_FOUNDED.inc()
    AUDIT_ENTRIES.labels(entry.action).inc()
    return founded
