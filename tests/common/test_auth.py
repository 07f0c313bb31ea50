"""Every kind of caller against every rule."""

from __future__ import annotations

from typing import get_args
from uuid import UUID

import pytest
from fastapi import APIRouter

from common.db import Database
from common.http import auth
from common.http.auth import ROLES, Access
from common.http.tokens import TokenVerifier
from common.settings import ServiceSettings
from tests.common.apps import client_of, sample_app
from tests.support.tokens import ISSUER, TokenMaker

ORGANISATION = UUID(int=9)
RULES = {
    Access.PUBLIC: auth.PublicCaller, Access.ANY_CALLER: auth.AnyCaller, Access.MEMBER: auth.Member,
    Access.EDITOR: auth.Editor, Access.FINANCE_MANAGER: auth.FinanceManager,
    Access.ORGANISATION_ADMIN: auth.OrganisationAdmin, Access.PLATFORM_ADMIN: auth.PlatformAdmin,
    Access.MACHINE: auth.MachineAccess,
}  # fmt: skip
EVERY_ROLE = ("owner", "admin", "developer", "billing", "viewer")
# Who is let in: everybody (*), and which roles.
ALLOWED = {
    Access.PUBLIC: {"nobody", "loner", "stranger", "admin of the platform", *EVERY_ROLE},
    Access.ANY_CALLER: {"loner", "stranger", "admin of the platform", *EVERY_ROLE},
    Access.MEMBER: set(EVERY_ROLE),
    Access.EDITOR: {"owner", "admin", "developer"},
    Access.FINANCE_MANAGER: {"owner", "admin", "billing"},
    Access.ORGANISATION_ADMIN: {"owner", "admin"},
    Access.PLATFORM_ADMIN: {"admin of the platform"},
    Access.MACHINE: {"nobody", "garbage", "loner", "stranger", "admin of the platform", *EVERY_ROLE},
}


def ruled_router() -> APIRouter:
    """One endpoint per rule, `/rule/<name>`."""
    router = APIRouter()

    def add(rule: Access, annotation: object) -> None:
        async def endpoint(caller: annotation) -> str:  # type: ignore[valid-type]
            return type(caller).__name__

        endpoint.__annotations__["caller"] = annotation
        router.add_api_route(f"/rule/{rule.name}", endpoint, methods=["GET"])

    for rule, annotation in RULES.items():
        add(rule, annotation)
    return router


def headers_of(kind: str, tokens: TokenMaker) -> dict[str, str]:
    match kind:
        case "nobody":
            return {}
        case "garbage":
            return {"Authorization": "Bearer garbage"}
        case "loner":
            return tokens.headers()
        case "stranger":
            return tokens.headers(organisation_id=ORGANISATION, role="intern")
        case "admin of the platform":
            return tokens.headers(organisation_id=ORGANISATION, role="intern", platform_admin=True)
        case role:
            return tokens.headers(organisation_id=ORGANISATION, role=role)


@pytest.mark.parametrize("rule", Access)
async def test_a_rule_lets_in_whom_it_names_and_nobody_else(
    rule: Access, db: Database, settings: ServiceSettings, tokens: TokenMaker
) -> None:
    answers = {}
    kinds = ("nobody", "garbage", "loner", "stranger", "admin of the platform", *EVERY_ROLE)
    async with client_of(sample_app(db, settings, tokens, ruled_router())) as client:
        for kind in kinds:
            answers[kind] = (
                await client.get(f"/rule/{rule.name}", headers=headers_of(kind, tokens))
            ).status_code
    refusal = {"nobody": 401, "garbage": 401}
    assert answers == {k: 200 if k in ALLOWED[rule] else refusal.get(k, 403) for k in kinds}


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Token abc", "Bearer a b", "eyJhbGciOiJub25lIn0.e30."],
)
async def test_a_header_that_is_no_bearer_token_is_refused_even_where_none_is_needed(
    header: str, db: Database, settings: ServiceSettings, tokens: TokenMaker
) -> None:
    async with client_of(sample_app(db, settings, tokens)) as client:
        answer = await client.put("/versioned", headers={"Authorization": header})
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


async def test_an_operator_without_an_organisation_is_told_to_join_one(
    db: Database, settings: ServiceSettings, tokens: TokenMaker
) -> None:
    async with client_of(sample_app(db, settings, tokens, ruled_router())) as client:
        answer = await client.get("/rule/PLATFORM_ADMIN", headers=tokens.headers(platform_admin=True))
    assert answer.status_code == 403
    assert "organisation" in answer.json()["detail"]


async def test_the_keys_cannot_be_had_is_503(
    db: Database, settings: ServiceSettings, tokens: TokenMaker
) -> None:
    app = sample_app(db, settings, tokens)
    app.state.verifier = TokenVerifier(jwks_url="http://127.0.0.1:1/jwks", issuer=ISSUER)
    async with client_of(app) as client:
        answer = await client.get("/notes", headers=tokens.headers(organisation_id=ORGANISATION))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


def test_every_rule_is_marked_so_that_it_can_be_listed() -> None:
    marks = {rule: get_args(annotation)[1].dependency.access for rule, annotation in RULES.items()}
    assert marks == {rule: rule for rule in Access}
    assert set(ROLES) < set(Access)
