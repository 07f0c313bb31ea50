"""Who may call what: every endpoint, every kind of caller."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from common.http.auth import ROLES, Access
from common.ids import new_id
from tests.support.tokens import TokenMaker

ORGANISATION = UUID("01900000-0000-7000-8000-000000000001")
ENDPOINTS = {
    "POST /v1/token": Access.PUBLIC,
    "GET /.well-known/jwks.json": Access.PUBLIC,
    "GET /livez": Access.PUBLIC,
    "GET /readyz": Access.PUBLIC,
    "GET /health": Access.PUBLIC,
    "GET /metrics": Access.PUBLIC,
    "GET /v1/me": Access.ANY_CALLER,
    "GET /v1/organisations": Access.ANY_CALLER,
    "POST /v1/organisations": Access.ANY_CALLER,
    "GET /v1/organisations/{organisation_id}": Access.ANY_CALLER,
    "PATCH /v1/organisations/{organisation_id}": Access.ORGANISATION_ADMIN,
    "GET /v1/organisations/{organisation_id}/members": Access.MEMBER,
    "POST /v1/organisations/{organisation_id}/members": Access.ORGANISATION_ADMIN,
    "PATCH /v1/organisations/{organisation_id}/members/{user_id}": Access.ORGANISATION_ADMIN,
    "DELETE /v1/organisations/{organisation_id}/members/{user_id}": Access.MEMBER,
    "GET /v1/notification-preferences": Access.MEMBER,
    "PUT /v1/notification-preferences": Access.MEMBER,
    "GET /v1/access-tokens": Access.MEMBER,
    "POST /v1/access-tokens": Access.MEMBER,
    "DELETE /v1/access-tokens/{token_id}": Access.MEMBER,
    "GET /v1/audit": Access.ORGANISATION_ADMIN,
    "GET /v1/admin/organisations": Access.PLATFORM_ADMIN,
    "POST /v1/admin/organisations/{organisation_id}/suspend": Access.PLATFORM_ADMIN,
    "POST /v1/admin/organisations/{organisation_id}/restore": Access.PLATFORM_ADMIN,
    "GET /v1/admin/users": Access.PLATFORM_ADMIN,
    "GET /v1/admin/audit": Access.PLATFORM_ADMIN,
    "POST /v1/admin/republish": Access.PLATFORM_ADMIN,
}
CALLERS = ["nobody", "a person", "owner", "admin", "developer", "billing", "viewer", "operator"]


def passes(access: Access, caller: str) -> bool:
    if access is Access.PUBLIC:
        return True
    if caller == "nobody":
        return False
    if access is Access.ANY_CALLER:
        return True
    if access is Access.PLATFORM_ADMIN:
        return caller == "operator"
    return ("viewer" if caller == "operator" else caller) in ROLES[access]


def headers_of(caller: str, tokens: TokenMaker) -> dict[str, str]:
    if caller == "nobody":
        return {}
    if caller == "a person":
        return tokens.headers(user_id=new_id())
    operator = caller == "operator"
    role = "viewer" if operator else caller
    return tokens.headers(user_id=new_id(), organisation_id=ORGANISATION, role=role, platform_admin=operator)


def test_the_list_is_complete(app: FastAPI) -> None:
    offered = {
        f"{method.upper()} {path}"
        for path, operations in app.openapi()["paths"].items()
        for method in operations
    }
    assert offered == set(ENDPOINTS)


@pytest.mark.parametrize("caller", CALLERS)
async def test_each_endpoint_lets_in_whom_it_says_and_nobody_else(
    client: AsyncClient, tokens: TokenMaker, caller: str
) -> None:
    wrong = []
    for endpoint, access in ENDPOINTS.items():
        method, path = endpoint.split(" ")
        url = re.sub(r"\{.*?\}", str(ORGANISATION), path)
        answer = await client.request(method, url, json={}, headers=headers_of(caller, tokens))
        code = answer.json().get("code") if "problem" in answer.headers["content-type"] else None
        let_in = code not in ("UNAUTHENTICATED", "FORBIDDEN")
        if let_in != passes(access, caller) or answer.status_code == 500:
            wrong.append((endpoint, answer.status_code, code))
    assert wrong == []


@pytest.mark.parametrize("token", ["", "x", "a.b.c"])
async def test_a_token_that_does_not_hold_lets_nobody_in(client: AsyncClient, token: str) -> None:
    answer = await client.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401
