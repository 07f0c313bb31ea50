"""The caller's own record."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from accounts.db import memberships, proofs, users
from accounts.domain.errors import UserNotFound
from accounts.domain.membership import Role
from accounts.domain.organisation import OrganisationStatus
from common.http.auth import AnyCaller
from common.http.errors import error_responses
from common.http.transaction import Transaction

router = APIRouter(tags=["me"])


class SeatOut(BaseModel):
    """An organisation that the caller belongs to."""

    id: UUID
    slug: str
    name: str
    status: OrganisationStatus
    role: Role


class MeOut(BaseModel):
    """The caller."""

    id: UUID
    email: str | None
    email_verified: bool
    name: str | None
    platform_admin: bool
    organisation_id: UUID | None
    organisations: list[SeatOut]


@router.get("/v1/me", responses=error_responses(UserNotFound))
async def get_me(caller: AnyCaller, session: Transaction) -> MeOut:
    """Who the token says you are, what is stored of you, and where you are a member."""
    await proofs.user(session, caller.user_id)
    user = await users.get(session, caller.user_id)
    seats = await memberships.seats(session, caller.user_id)
    return MeOut(
        id=user.id,
        email=user.email,
        email_verified=user.email_verified,
        name=user.name,
        platform_admin=caller.platform_admin,
        organisation_id=caller.organisation_id,
        organisations=[
            SeatOut(
                id=s.organisation.id,
                slug=s.organisation.slug,
                name=s.organisation.name,
                status=s.organisation.status,
                role=s.membership.role,
            )
            for s in sorted(seats, key=lambda s: s.organisation.slug)
        ],
    )
