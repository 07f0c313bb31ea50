"""Suspend an organisation: nobody gets a token for it any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.db import audit, organisations
from accounts.domain import organisation
from accounts.domain.audit import AuditEntry
from accounts.events.organisation_changed import OrganisationChanged
from accounts.metrics import AUDIT_ENTRIES
from common import outbox
from common.ids import new_id

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from accounts.domain.audit import Actor
    from accounts.domain.organisation import Organisation


async def suspend_organisation(
    session: AsyncSession, organisation_id: UUID, *, actor: Actor, now: datetime
) -> Organisation:
    """The organisation, suspended; tokens already issued run out by themselves."""
    before = await organisations.lock(session, organisation_id)
    after = organisation.suspend(before, at=now)
    if after is before:
        return before
    await organisations.put(session, after)
    entry = AuditEntry(
        id=new_id(), at=now, actor=actor, organisation_id=organisation_id, action="organisation.suspended",
        target_id=organisation_id, before={"status": before.status}, after={"status": after.status},
    )  # fmt: skip
    await audit.add(session, entry)
    await outbox.publish(session, OrganisationChanged.of(after), now=now)
    AUDIT_ENTRIES.labels(entry.action).inc()
    return after
