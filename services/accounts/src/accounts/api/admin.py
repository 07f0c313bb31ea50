"""What the platform's operators see and do."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict

from accounts.api.actor import actor_of
from accounts.api.audit import audit_page
from accounts.api.schemas import AuditPage, OrganisationOut, OrganisationPage
from accounts.db import audit, organisations, users
from accounts.domain.errors import OrganisationNotFound
from accounts.usecases.restore_organisation import restore_organisation
from accounts.usecases.suspend_organisation import suspend_organisation
from common.http.auth import PlatformAdmin
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.transaction import Transaction
from common.pagination import Cursor, Limit, id_after, page_of

router = APIRouter(prefix="/v1/admin", tags=["admin"])


class UserOut(BaseModel):
    """A person."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    email: str | None
    email_verified: bool
    name: str | None
    created_at: datetime


class UserPage(BaseModel):
    """Some people, in id order."""

    items: list[UserOut]
    next_cursor: str | None


@router.get("/organisations")
async def list_every_organisation(
    _: PlatformAdmin, session: Transaction, limit: Limit = 20, cursor: Cursor = None
) -> OrganisationPage:
    """Every organisation."""
    found = await organisations.list_page(session, after=id_after(cursor), limit=limit + 1)
    shown, next_cursor = page_of(found, limit=limit, key=lambda o: o.id)
    return OrganisationPage(items=[OrganisationOut.model_validate(o) for o in shown], next_cursor=next_cursor)


@router.post("/organisations/{organisation_id}/suspend", responses=error_responses(OrganisationNotFound))
async def suspend(
    organisation_id: UUID, request: Request, caller: PlatformAdmin, session: Transaction, clock: ClockDep
) -> OrganisationOut:
    """Stop an organisation: nobody gets a token for it any more."""
    actor = actor_of(request, caller.user_id)
    return OrganisationOut.model_validate(
        await suspend_organisation(session, organisation_id, actor=actor, now=clock.now())
    )


@router.post("/organisations/{organisation_id}/restore", responses=error_responses(OrganisationNotFound))
async def restore(
    organisation_id: UUID, request: Request, caller: PlatformAdmin, session: Transaction, clock: ClockDep
) -> OrganisationOut:
    """Let a suspended organisation act again."""
    actor = actor_of(request, caller.user_id)
    return OrganisationOut.model_validate(
        await restore_organisation(session, organisation_id, actor=actor, now=clock.now())
    )


@router.get("/users")
async def list_users(
    _: PlatformAdmin, session: Transaction, limit: Limit = 20, cursor: Cursor = None
) -> UserPage:
    """Every person who has signed in."""
    found = await users.list_page(session, after=id_after(cursor), limit=limit + 1)
    shown, next_cursor = page_of(found, limit=limit, key=lambda u: u.id)
    return UserPage(items=[UserOut.model_validate(u) for u in shown], next_cursor=next_cursor)


@router.get("/audit")
async def list_every_audit_entry(
    _: PlatformAdmin, session: Transaction, limit: Limit = 20, cursor: Cursor = None
) -> AuditPage:
    """Who did what, in every organisation, the newest first."""
    found = await audit.list_page(session, organisation_id=None, before=id_after(cursor), limit=limit + 1)
    return audit_page(found, limit=limit)
