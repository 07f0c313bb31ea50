"""Organisations as their own people see and change them."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, StringConstraints
from starlette.responses import JSONResponse

from accounts.api.actor import actor_of
from accounts.api.schemas import Name, OrganisationOut, OrganisationPage, Website
from accounts.db import organisations, proofs
from accounts.domain.errors import InvalidSlug, OrganisationNotFound, SlugTaken
from accounts.usecases.describe_organisation import describe_organisation
from accounts.usecases.found_organisation import found_organisation
from common.errors import PreconditionFailed
from common.http.auth import AnyCaller, OrganisationAdmin
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.etag import IfMatch, etag
from common.http.idempotency import Idempotency
from common.http.transaction import Transaction
from common.pagination import Cursor, Limit, id_after, page_of

router = APIRouter(tags=["organisations"])


class OrganisationCreate(BaseModel):
    """A new organisation; its slug never changes, since it stands in the paths that consumers call."""

    slug: str = Field(max_length=100, description="2 to 50 characters out of a-z, 0-9 and '-'.")
    name: Name


class OrganisationUpdate(BaseModel):
    """What is left out stays."""

    name: Name | None = None
    website: Website | None = None
    description: Annotated[str, StringConstraints(max_length=1000)] | None = None


@router.post(
    "/v1/organisations",
    status_code=201,
    response_model=OrganisationOut,
    responses=error_responses(SlugTaken, InvalidSlug),
)
async def create_organisation(
    *,
    body: OrganisationCreate,
    request: Request,
    caller: AnyCaller,
    session: Transaction,
    clock: ClockDep,
    idempotency: Idempotency,
) -> JSONResponse:
    """Found an organisation; you become its first owner. Then ask for a token that acts for it."""
    if replayed := await idempotency.replay():
        return replayed
    founded = await found_organisation(
        session, actor=actor_of(request, caller.user_id), slug=body.slug, name=body.name, now=clock.now()
    )
    return await idempotency.answer(201, OrganisationOut.model_validate(founded))


@router.get("/v1/organisations")
async def list_organisations(
    caller: AnyCaller, session: Transaction, limit: Limit = 20, cursor: Cursor = None
) -> OrganisationPage:
    """The organisations that you belong to."""
    await proofs.user(session, caller.user_id)
    found = await organisations.list_of_user(session, caller.user_id, after=id_after(cursor), limit=limit + 1)
    shown, next_cursor = page_of(found, limit=limit, key=lambda o: o.id)
    return OrganisationPage(items=[OrganisationOut.model_validate(o) for o in shown], next_cursor=next_cursor)


@router.get("/v1/organisations/{organisation_id}", responses=error_responses(OrganisationNotFound))
async def get_organisation(
    organisation_id: UUID, response: Response, caller: AnyCaller, session: Transaction
) -> OrganisationOut:
    """One of your organisations."""
    await proofs.user(session, caller.user_id)
    found = await organisations.get(session, organisation_id)
    response.headers["ETag"] = etag(found.version)
    return OrganisationOut.model_validate(found)


@router.patch(
    "/v1/organisations/{organisation_id}",
    responses=error_responses(OrganisationNotFound, PreconditionFailed),
)
async def update_organisation(
    *,
    organisation_id: UUID,
    body: OrganisationUpdate,
    request: Request,
    response: Response,
    caller: OrganisationAdmin,
    session: Transaction,
    clock: ClockDep,
    if_match: IfMatch = None,
) -> OrganisationOut:
    """Change the name, website or description of the organisation that your token acts for."""
    if organisation_id != caller.organisation_id:
        raise OrganisationNotFound
    described = await describe_organisation(
        session,
        organisation_id,
        actor=actor_of(request, caller.user_id),
        changes=body.model_dump(exclude_unset=True),
        if_match=if_match,
        now=clock.now(),
    )
    response.headers["ETag"] = etag(described.version)
    return OrganisationOut.model_validate(described)
