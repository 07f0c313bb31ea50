"""accounts.organisation.v1: the name that Stripe shows on a customer."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import accounts
from common.events import Incoming


class OrganisationEvent(Incoming, topic="accounts.organisation.v1"):
    """What billing reads of an organisation."""

    organisation_id: UUID
    name: str


async def on_organisation(session: AsyncSession, event: OrganisationEvent, *, now: datetime) -> None:  # noqa: ARG001
    """The name is at least as new."""
    await accounts.record_name(session, event.organisation_id, name=event.name, version=event.version)
