"""The members of the organisation that the caller's token acts for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, StringConstraints
from starlette.responses import JSONResponse

from accounts.api.actor import actor_of
from accounts.api.schemas import MemberOut
from accounts.db import memberships
from accounts.domain.errors import (
    AlreadyMember,
    LastOwner,
    MemberNotFound,
    OrganisationNotFound,
    RoleTooLow,
    UserNotFound,
)
from accounts.domain.membership import Role
from accounts.usecases.add_member import add_member
from accounts.usecases.change_role import change_role
from accounts.usecases.remove_member import remove_member
from common.http.auth import Caller, Member, OrganisationAdmin
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.idempotency import Idempotency
from common.http.transaction import Transaction
from common.pagination import Cursor, Limit, id_after, page_of

if TYPE_CHECKING:
    from accounts.db.memberships import Colleague

router = APIRouter(tags=["members"])
_PATH = "/v1/organisations/{organisation_id}/members"


class MemberCreate(BaseModel):
    """Whom to add: somebody who has signed in before, by the address that their identity provider verified."""

    email: Annotated[str, StringConstraints(min_length=3, max_length=320, pattern=r"^[^@\s]+@[^@\s]+$")]
    role: Role


class MemberUpdate(BaseModel):
    """The role to give."""

    role: Role


class RoleOut(BaseModel):
    """A member's role."""

    user_id: UUID
    role: Role


class MemberPage(BaseModel):
    """Some members, in id order."""

    items: list[MemberOut]
    next_cursor: str | None


def _own(organisation_id: UUID, caller: Caller) -> UUID:
    if organisation_id != caller.organisation_id:
        raise OrganisationNotFound
    return organisation_id


def _out(colleague: Colleague) -> MemberOut:
    member = colleague.membership
    return MemberOut(
        user_id=member.user_id,
        role=member.role,
        email=colleague.email,
        name=colleague.name,
        since=member.created_at,
    )


@router.get(_PATH, responses=error_responses(OrganisationNotFound))
async def list_members(
    organisation_id: UUID, caller: Member, session: Transaction, limit: Limit = 20, cursor: Cursor = None
) -> MemberPage:
    """Your colleagues."""
    found = await memberships.list_colleagues(
        session, _own(organisation_id, caller), after=id_after(cursor), limit=limit + 1
    )
    shown, next_cursor = page_of(found, limit=limit, key=lambda c: c.membership.user_id)
    return MemberPage(items=[_out(c) for c in shown], next_cursor=next_cursor)


@router.post(
    _PATH,
    status_code=201,
    response_model=MemberOut,
    responses=error_responses(OrganisationNotFound, UserNotFound, AlreadyMember, RoleTooLow),
)
async def create_member(
    *,
    organisation_id: UUID,
    body: MemberCreate,
    request: Request,
    caller: OrganisationAdmin,
    session: Transaction,
    clock: ClockDep,
    idempotency: Idempotency,
) -> JSONResponse:
    """Add somebody who has signed in before. Only an owner makes owners."""
    if replayed := await idempotency.replay():
        return replayed
    added = await add_member(
        session,
        _own(organisation_id, caller),
        actor=actor_of(request, caller.user_id),
        email=body.email,
        role=body.role,
        now=clock.now(),
    )
    return await idempotency.answer(201, _out(added))


@router.patch(
    f"{_PATH}/{{user_id}}",
    responses=error_responses(OrganisationNotFound, MemberNotFound, LastOwner, RoleTooLow),
)
async def update_member(
    *,
    organisation_id: UUID,
    user_id: UUID,
    body: MemberUpdate,
    request: Request,
    caller: OrganisationAdmin,
    session: Transaction,
    clock: ClockDep,
) -> RoleOut:
    """Give a member another role."""
    changed = await change_role(
        session,
        _own(organisation_id, caller),
        user_id,
        actor=actor_of(request, caller.user_id),
        role=body.role,
        now=clock.now(),
    )
    return RoleOut(user_id=changed.user_id, role=changed.role)


@router.delete(
    f"{_PATH}/{{user_id}}",
    status_code=204,
    responses=error_responses(OrganisationNotFound, MemberNotFound, LastOwner, RoleTooLow),
)
async def delete_member(
    *,
    organisation_id: UUID,
    user_id: UUID,
    request: Request,
    caller: Member,
    session: Transaction,
    clock: ClockDep,
) -> None:
    """End a membership. Everybody may end their own, unless they are the last owner."""
    await remove_member(
        session,
        _own(organisation_id, caller),
        user_id,
        actor=actor_of(request, caller.user_id),
        now=clock.now(),
    )
