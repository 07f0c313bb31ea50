"""What a platform token says: who acts, for which organisation, in which role, until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from accounts.domain.errors import NotAMember, OrganisationSuspended
from accounts.domain.organisation import OrganisationStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from accounts.domain.membership import Membership
    from accounts.domain.organisation import Organisation

AUDIENCE = "marketplace"


@dataclass(frozen=True, slots=True)
class Seat:
    """An organisation together with the caller's membership in it."""

    organisation: Organisation
    membership: Membership


def choose_seat(seats: Sequence[Seat], wanted: str | None) -> Seat | None:
    """The seat a token is made for: the one asked for, else that held longest, None without any.

    An organisation that does not exist and one that the caller is not in are answered alike, so that slugs
    cannot be tried out here. Suspended organisations are passed over unless asked for by name.
    """
    if wanted is not None:
        named = [s for s in seats if wanted in (s.organisation.slug, str(s.organisation.id))]
        if not named:
            raise NotAMember(wanted)
        if named[0].organisation.status is OrganisationStatus.SUSPENDED:
            raise OrganisationSuspended(wanted)
        return named[0]
    usable = [s for s in seats if s.organisation.status is OrganisationStatus.ACTIVE]
    return min(usable, key=lambda s: (s.membership.created_at, s.organisation.id), default=None)


def claims(
    user_id: UUID,
    seat: Seat | None,
    *,
    platform_admin: bool,
    issuer: str,
    token_id: UUID,
    now: datetime,
    ttl: timedelta,
) -> dict[str, str | int]:
    """The claims of one token; the organisation's with a seat only, `platform_role` for admins only."""
    said: dict[str, str | int] = {
        "iss": issuer, "aud": AUDIENCE, "sub": str(user_id), "jti": str(token_id),
        "iat": int(now.timestamp()), "exp": int((now + ttl).timestamp()),
    }  # fmt: skip
    if seat is not None:
        said |= {
            "org": str(seat.organisation.id),
            "org_slug": seat.organisation.slug,
            "role": seat.membership.role.value,
        }
    if platform_admin:
        said["platform_role"] = "admin"
    return said


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A signed platform token, on its way to the caller and nowhere else."""

    access_token: str
    expires_in_seconds: int
    organisation_id: UUID | None
