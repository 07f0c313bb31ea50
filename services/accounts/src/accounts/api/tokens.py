"""Platform tokens, and the keys that check them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, SecretStr

from accounts.domain.errors import (
    IdentityProviderUnavailable,
    InvalidSubjectToken,
    NotAMember,
    OrganisationSuspended,
)
from accounts.metrics import TOKENS_REFUSED
from accounts.usecases.exchange_token import exchange_token
from common.errors import DomainError
from common.http.auth import PublicCaller
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.transaction import DatabaseDep

router = APIRouter(tags=["tokens"])


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """How platform tokens are made here: who is an operator, what the issuer is called, how long a token lives."""

    admins: frozenset[str]
    issuer: str
    ttl: timedelta


class TokenRequest(BaseModel):
    """What to exchange, and for which organisation to act."""

    subject_token: SecretStr = Field(
        min_length=1, max_length=16_384, description="An OIDC ID or access token, or a personal access token."
    )
    organisation: str | None = Field(default=None, max_length=64, description="Slug or id.")


class TokenOut(BaseModel):
    """A platform token (names as in RFC 8693)."""

    access_token: str
    issued_token_type: Literal["urn:ietf:params:oauth:token-type:jwt"] = (
        "urn:ietf:params:oauth:token-type:jwt"  # noqa: S105
    )
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - a kind, not a secret
    expires_in: int
    organisation_id: UUID | None


class PublicKeyOut(BaseModel):
    """One Ed25519 public key."""

    kty: str
    crv: str
    x: str
    kid: str
    alg: str
    use: str


class KeySetOut(BaseModel):
    """The keys that platform tokens are signed with, now or until lately."""

    keys: list[PublicKeyOut]


@router.post(
    "/v1/token",
    responses=error_responses(
        InvalidSubjectToken, NotAMember, OrganisationSuspended, IdentityProviderUnavailable
    ),
)
async def create_token(
    body: TokenRequest,
    request: Request,
    response: Response,
    _: PublicCaller,
    db: DatabaseDep,
    clock: ClockDep,
) -> TokenOut:
    """Exchange the token of an identity provider for a platform token. The first exchange makes the user."""
    policy: TokenPolicy = request.app.state.token_policy
    try:
        issued = await exchange_token(
            db,
            request.app.state.oidc,
            request.app.state.signer,
            subject_token=body.subject_token.get_secret_value(),
            organisation=body.organisation,
            admins=policy.admins,
            issuer=policy.issuer,
            ttl=policy.ttl,
            now=clock.now(),
        )
    except DomainError as error:
        TOKENS_REFUSED.labels(error.code).inc()
        raise
    response.headers["Cache-Control"] = "no-store"
    return TokenOut(
        access_token=issued.access_token,
        expires_in=issued.expires_in_seconds,
        organisation_id=issued.organisation_id,
    )


@router.get("/.well-known/jwks.json")
async def get_jwks(request: Request, response: Response, _: PublicCaller) -> KeySetOut:
    """The public keys; a key stays listed after its rotation for as long as tokens signed by it live."""
    response.headers["Cache-Control"] = "public, max-age=300"
    return KeySetOut.model_validate(request.app.state.signer.jwks)
