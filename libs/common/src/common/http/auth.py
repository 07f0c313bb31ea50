"""Who may call: every endpoint takes exactly one parameter of the types below, and that states its rule."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, TypeVar
from uuid import UUID

import structlog
from fastapi import Depends, Request

from common.db import Scope
from common.errors import Forbidden, Unauthenticated
from common.http.tokens import Claims, TokenVerifier


class Access(StrEnum):
    """The rules, for those who list them."""

    PUBLIC = "public"
    ANY_CALLER = "any caller"
    MEMBER = "member"
    EDITOR = "editor"
    FINANCE_MANAGER = "finance manager"
    ORGANISATION_ADMIN = "organisation admin"
    PLATFORM_ADMIN = "platform admin"
    MACHINE = "machine"


F = TypeVar("F", bound=Callable[..., Any])

ROLES: dict[Access, frozenset[str]] = {
    Access.MEMBER: frozenset({"owner", "admin", "developer", "billing", "viewer"}),
    Access.EDITOR: frozenset({"owner", "admin", "developer"}),
    Access.FINANCE_MANAGER: frozenset({"owner", "admin", "billing"}),
    Access.ORGANISATION_ADMIN: frozenset({"owner", "admin"}),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """A verified caller who acts for one organisation."""

    user_id: UUID
    organisation_id: UUID
    organisation_slug: str
    role: str
    platform_admin: bool

    @property
    def scope(self) -> Scope:
        """Whose rows this caller's transactions see."""
        return Scope(organisation_id=self.organisation_id, platform_admin=self.platform_admin)


@dataclass(frozen=True, slots=True)
class User:
    """A verified person, perhaps without an organisation yet."""

    user_id: UUID
    organisation_id: UUID | None
    platform_admin: bool


async def claims_of(request: Request) -> Claims | None:
    """The claims of the bearer token, None without one; Unauthenticated when it does not hold."""
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("Send the token as `Authorization: Bearer <token>`.")
    verifier: TokenVerifier = request.app.state.verifier
    claims = await verifier.verify(token.strip())
    structlog.contextvars.bind_contextvars(
        user_id=str(claims.user_id), organisation_id=str(claims.organisation_id)
    )
    return claims


ClaimsDep = Annotated[Claims | None, Depends(claims_of)]


def scope_of(claims: Claims | None) -> Scope:
    """Whose rows a transaction of this caller sees; nobody's without a token."""
    return Scope(claims.organisation_id, claims.platform_admin) if claims else Scope()


def _caller(claims: Claims) -> Caller:
    if claims.organisation_id is None or claims.role is None or claims.organisation_slug is None:
        raise Forbidden(
            "This token acts for no organisation: create or join one, then ask accounts for a token for it."
        )
    return Caller(
        claims.user_id, claims.organisation_id, claims.organisation_slug, claims.role, claims.platform_admin
    )


def _required(claims: Claims | None) -> Claims:
    if claims is None:
        raise Unauthenticated("This needs a platform token: send `Authorization: Bearer <token>`.")
    return claims


def _with_role(access: Access) -> Callable[..., Coroutine[Any, Any, Caller]]:
    async def check(claims: ClaimsDep) -> Caller:
        caller = _caller(_required(claims))
        if caller.role not in ROLES[access]:
            allowed = ", ".join(sorted(ROLES[access]))
            raise Forbidden(f"Your role in this organisation is {caller.role}; this needs one of: {allowed}.")
        return caller

    return _marked(check, access)


def _marked(function: F, access: Access) -> F:
    function.__dict__["access"] = access
    return function


async def _public(claims: ClaimsDep) -> Caller | None:
    return _caller(claims) if claims and claims.organisation_id else None


async def _any_caller(claims: ClaimsDep) -> User:
    known = _required(claims)
    return User(known.user_id, known.organisation_id, known.platform_admin)


async def _platform_admin(claims: ClaimsDep) -> Caller:
    known = _required(claims)
    if not known.platform_admin:
        raise Forbidden("Only an operator of this marketplace may do this.")
    return _caller(known)


async def _machine() -> None:
    return None


PublicCaller = Annotated[Caller | None, Depends(_marked(_public, Access.PUBLIC))]
AnyCaller = Annotated[User, Depends(_marked(_any_caller, Access.ANY_CALLER))]
Member = Annotated[Caller, Depends(_with_role(Access.MEMBER))]
Editor = Annotated[Caller, Depends(_with_role(Access.EDITOR))]
FinanceManager = Annotated[Caller, Depends(_with_role(Access.FINANCE_MANAGER))]
OrganisationAdmin = Annotated[Caller, Depends(_with_role(Access.ORGANISATION_ADMIN))]
PlatformAdmin = Annotated[Caller, Depends(_marked(_platform_admin, Access.PLATFORM_ADMIN))]
# The endpoint authenticates a machine by itself: an ingest token, a webhook's signature.
MachineAccess = Annotated[None, Depends(_marked(_machine, Access.MACHINE))]
