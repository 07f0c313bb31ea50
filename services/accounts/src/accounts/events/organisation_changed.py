"""The organisation as others see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self
from uuid import UUID

from accounts.domain.organisation import OrganisationStatus
from common.events import Event

if TYPE_CHECKING:
    from accounts.domain.organisation import Organisation


class OrganisationChanged(
    Event, topic="accounts.organisation.v1", type="organisation.changed", key="organisation_id"
):
    """The organisation as it now stands; nothing of the people in it."""

    organisation_id: UUID
    slug: str
    name: str
    status: OrganisationStatus

    @classmethod
    def of(cls, organisation: Organisation) -> Self:
        """The event that tells of `organisation` as it is."""
        return cls(
            organisation_id=organisation.id,
            version=organisation.version,
            slug=organisation.slug,
            name=organisation.name,
            status=organisation.status,
        )

    @classmethod
    def example(cls) -> Self:
        """A valid event with every field set."""
        return cls(
            organisation_id=UUID("01900000-0000-7000-8000-000000000001"),
            version=1,
            slug="acme",
            name="Acme",
            status=OrganisationStatus.ACTIVE,
        )
