"""Personal access tokens: for programs that act for a person in one organisation."""

from __future__ import annotations

import secrets
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from starlette.responses import JSONResponse

from accounts.api.actor import actor_of
from accounts.db import access_tokens, proofs
from accounts.domain.access_token import SECRET_BYTES
from accounts.domain.errors import AccessTokenNotFound, ExpiryInThePast
from accounts.usecases.make_access_token import make_access_token
from accounts.usecases.revoke_access_token import revoke_access_token
from common.http.auth import Member
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.idempotency import Idempotency
from common.http.transaction import Transaction
from common.pagination import Cursor, Limit, id_after, page_of

router = APIRouter(tags=["access tokens"])


class AccessTokenCreate(BaseModel):
    """A new token for the organisation that the caller acts for."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True)]
    expires_at: AwareDatetime = Field(description="At most 366 days from now.")


class AccessTokenOut(BaseModel):
    """A token without its secret."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    organisation_id: UUID
    name: str
    prefix: str
    expires_at: AwareDatetime
    created_at: AwareDatetime
    last_used_at: AwareDatetime | None
    revoked_at: AwareDatetime | None


class AccessTokenMade(AccessTokenOut):
    """The one answer that shows the token; null in an idempotent replay."""

    token: str | None = None


class AccessTokenPage(BaseModel):
    """Some tokens, in id order."""

    items: list[AccessTokenOut]
    next_cursor: str | None


@router.post(
    "/v1/access-tokens",
    status_code=201,
    response_model=AccessTokenMade,
    responses=error_responses(ExpiryInThePast),
)
async def create_access_token(
    *,
    body: AccessTokenCreate,
    request: Request,
    caller: Member,
    session: Transaction,
    clock: ClockDep,
    idempotency: Idempotency,
) -> JSONResponse:
    """Make a token, shown in this one answer. Exchange it at `POST /v1/token`."""
    if replayed := await idempotency.replay():
        return replayed
    made, text = await make_access_token(
        session,
        actor=actor_of(request, caller.user_id),
        organisation_id=caller.organisation_id,
        name=body.name,
        expires_at=body.expires_at,
        secret=secrets.token_bytes(SECRET_BYTES),
        now=clock.now(),
    )
    stored = AccessTokenMade.model_validate(made)
    response = await idempotency.answer(201, stored.model_copy(update={"token": text}), stored=stored)
    response.headers["Cache-Control"] = "no-store"
    return response


@router.get("/v1/access-tokens")
async def list_access_tokens(
    caller: Member, session: Transaction, limit: Limit = 20, cursor: Cursor = None
) -> AccessTokenPage:
    """Your own tokens, in every organisation."""
    await proofs.user(session, caller.user_id)
    found = await access_tokens.list_of_user(session, caller.user_id, after=id_after(cursor), limit=limit + 1)
    shown, next_cursor = page_of(found, limit=limit, key=lambda t: t.id)
    return AccessTokenPage(items=[AccessTokenOut.model_validate(t) for t in shown], next_cursor=next_cursor)


@router.delete(
    "/v1/access-tokens/{token_id}", status_code=204, responses=error_responses(AccessTokenNotFound)
)
async def delete_access_token(
    token_id: UUID, request: Request, caller: Member, session: Transaction, clock: ClockDep
) -> None:
    """Revoke one of your tokens; it can be exchanged no more from now on."""
    await revoke_access_token(
        session,
        token_id,
        actor=actor_of(request, caller.user_id),
        organisation_id=caller.organisation_id,
        now=clock.now(),
    )
