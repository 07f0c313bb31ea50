"""Valid values, overridden by keyword; nothing random."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from accounts.domain.membership import Membership, Role
from accounts.domain.organisation import Organisation, OrganisationStatus
from accounts.domain.platform_token import Seat
from accounts.domain.user import Identity

NOW = datetime(2026, 11, 15, 12, tzinfo=UTC)
ORGANISATION_ID = UUID("01900000-0000-7000-8000-000000000001")
USER_ID = UUID("01900000-0000-7000-8000-0000000000a1")


def an_organisation(**overrides: Any) -> Organisation:
    """Acme, active."""
    acme = Organisation(
        id=ORGANISATION_ID, slug="acme", name="Acme", website=None, description=None,
        status=OrganisationStatus.ACTIVE, version=1, created_at=NOW, updated_at=NOW,
    )  # fmt: skip
    return replace(acme, **overrides)


def a_membership(**overrides: Any) -> Membership:
    """USER_ID as an owner of Acme."""
    return replace(
        Membership(organisation_id=ORGANISATION_ID, user_id=USER_ID, role=Role.OWNER, created_at=NOW),
        **overrides,
    )


def a_seat(**overrides: Any) -> Seat:
    """Acme and USER_ID in it; overrides go to the organisation."""
    organisation = an_organisation(**overrides)
    return Seat(organisation=organisation, membership=a_membership(organisation_id=organisation.id))


def an_identity(**overrides: Any) -> Identity:
    """Ada, with an address that the issuer vouches for."""
    ada = Identity(
        issuer="https://id.example.test",
        subject="ada",
        email="Ada@Example.test",
        email_verified=True,
        name="Ada",
    )
    return replace(ada, **overrides)
