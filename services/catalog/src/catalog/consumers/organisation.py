"""accounts.organisation.v1: slugs and standing of providers."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from catalog.db.organisations import Organisation
from catalog.usecases.adopt_organisation import adopt_organisation
from common.events import Incoming


class OrganisationEvent(Incoming, topic="accounts.organisation.v1"):
    """The fields that the catalogue reads."""

    organisation_id: UUID
    slug: str
    name: str
    status: str


async def on_organisation(session: AsyncSession, event: OrganisationEvent, *, now: datetime) -> None:
    """The organisation is known as it now is."""
    organisation = Organisation(event.organisation_id, event.version, event.slug, event.name, event.status)
    await adopt_organisation(session, organisation, now=now)
