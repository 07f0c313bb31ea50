"""People, known by what their identity provider says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class Identity:
    """What a verified OIDC token says of a person; `issuer` and `subject` together are the identity."""

    issuer: str
    subject: str
    email: str | None
    email_verified: bool
    name: str | None


@dataclass(frozen=True, slots=True)
class User:
    """A person who has signed in at least once."""

    id: UUID
    issuer: str
    subject: str
    email: str | None
    email_verified: bool
    name: str | None
    created_at: datetime


def normalised_email(email: str) -> str:
    """The form in which addresses are compared: without surrounding space, in lower case."""
    return email.strip().lower()


def is_platform_admin(identity: Identity, admins: Collection[str]) -> bool:
    """True for an address on the operator's list, when the issuer vouches that it is the person's own.

    Judged by the token presented now, not by what was stored: an address taken away at the issuer counts at
    once.
    """
    return (
        identity.email_verified and identity.email is not None and normalised_email(identity.email) in admins
    )
