"""Change what an organisation says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.db import audit, organisations
from accounts.domain import organisation
from accounts.domain.audit import AuditEntry
from accounts.events.organisation_changed import OrganisationChanged
from accounts.metrics import AUDIT_ENTRIES
from common import outbox
from common.http.etag import require_match
from common.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from accounts.domain.audit import Actor
    from accounts.domain.organisation import Organisation


async def describe_organisation(
    session: AsyncSession,
    organisation_id: UUID,
    *,
    actor: Actor,
    changes: Mapping[str, str | None],
    if_match: str | None,
    now: datetime,
) -> Organisation:
    """The organisation with its name, website or description changed; nothing is written when nothing changes."""
    before = await organisations.lock(session, organisation_id)
    require_match(if_match, before.version)
    after = organisation.describe(before, changes=dict(changes), at=now)
    if after is before:
        return before
    await organisations.put(session, after)
    entry = AuditEntry(
        id=new_id(), at=now, actor=actor, organisation_id=organisation_id, action="organisation.described",
        target_id=organisation_id, before=_said(before, changes), after=_said(after, changes),
    )  # fmt: skip
    await audit.add(session, entry)
    await outbox.publish(session, OrganisationChanged.of(after), now=now)
    AUDIT_ENTRIES.labels(entry.action).inc()
    return after


def _said(stated: Organisation, changes: Mapping[str, str | None]) -> dict[str, str | None]:
    return {name: getattr(stated, name) for name in sorted(changes)}
