"""Publish every organisation again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.db import organisations
from accounts.events.organisation_changed import OrganisationChanged
from common import outbox

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncSession

_PAGE = 500


async def republish(session: AsyncSession, now: datetime) -> int:
    """Each organisation's present state is in the outbox again, with the version and event id that it had."""
    published, after = 0, None
    while page := await organisations.list_page(session, after=after, limit=_PAGE):
        for organisation in page:
            await outbox.publish(session, OrganisationChanged.of(organisation), now=now)
        published, after = published + len(page), page[-1].id
    return published
