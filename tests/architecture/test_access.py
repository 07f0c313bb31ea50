"""Every endpoint of every service says who may call it, and decides that before it touches anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from common.db import Database
from common.http.app import create_service_app
from common.http.auth import ROLES, Access, Editor, Member
from common.http.transaction import Transaction
from tests.architecture.endpoints import Endpoint, app_without_a_world, endpoints, settings_without_a_world
from tests.architecture.repository import SERVICES
from tests.support.tokens import TokenMaker

ORGANISATION = UUID(int=1)
EVERY_ROLE = ("owner", "admin", "developer", "billing", "viewer", "unheard-of")
OPEN = {Access.PUBLIC, Access.MACHINE}


@asynccontextmanager
async def client_of(app: FastAPI, tokens: TokenMaker) -> AsyncIterator[httpx.AsyncClient]:
    app.state.verifier = tokens.verifier
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service.test") as client:
        yield client


def refusals(rule: Access, tokens: TokenMaker) -> dict[str, tuple[dict[str, str], int]]:
    """Callers whom `rule` keeps out, and the status that each must get."""
    kept_out = {"garbage": ({"Authorization": "Bearer garbage"}, 401)}
    if rule in OPEN:
        return kept_out if rule is Access.PUBLIC else {}
    kept_out["no token"] = ({}, 401)
    if rule is Access.ANY_CALLER:
        return kept_out
    kept_out["no organisation"] = (tokens.headers(), 403)
    for role in EVERY_ROLE:
        if role not in ROLES.get(rule, frozenset()):
            kept_out[role] = (tokens.headers(organisation_id=ORGANISATION, role=role), 403)
    return kept_out


async def let_in(app: FastAPI, tokens: TokenMaker) -> list[str]:
    """Endpoints and callers whose answer is not the refusal that the endpoint's rule promises."""
    found = []
    async with client_of(app, tokens) as client, asyncio.timeout(60):
        for endpoint in endpoints(app):
            for caller, (headers, status) in refusals(endpoint.rules[0], tokens).items():
                answer = await client.request(endpoint.method, endpoint.example_path, headers=headers)
                if answer.status_code != status:
                    found.append(f"{endpoint} as {caller}: {answer.status_code} instead of {status}")
    return found


def without_one_rule(app: FastAPI) -> list[str]:
    return [f"{e}: {', '.join(e.rules) or 'says nothing'}" for e in endpoints(app) if len(e.rules) != 1]


@pytest.mark.parametrize("service", SERVICES)
def test_every_endpoint_states_one_rule(service: str) -> None:
    app = app_without_a_world(service)
    assert len(list(endpoints(app))) > 4
    assert without_one_rule(app) == []


@pytest.mark.parametrize("service", SERVICES)
async def test_nobody_is_let_in_whom_the_rule_keeps_out(service: str, tokens: TokenMaker) -> None:
    assert "\n".join(await let_in(app_without_a_world(service), tokens)) == ""


@pytest.mark.parametrize("service", SERVICES)
async def test_machines_prove_themselves(service: str, tokens: TokenMaker) -> None:
    app = app_without_a_world(service)
    async with client_of(app, tokens) as client, asyncio.timeout(30):
        for endpoint in endpoints(app):
            if endpoint.rules == (Access.MACHINE,):
                answer = await client.request(endpoint.method, endpoint.example_path, content=b"[]")
                assert 400 <= answer.status_code < 500, str(endpoint)


def a_service(router: APIRouter) -> FastAPI:
    settings = settings_without_a_world("catalog")
    db = Database(settings.database_url.get_secret_value(), name="none")
    return create_service_app(name="bad", settings=settings, routers=[router], db=db)


async def test_an_endpoint_without_a_rule_or_with_two_is_seen() -> None:
    router = APIRouter()

    @router.get("/nobody-thought-of-it")
    async def unruled(session: Transaction) -> None: ...

    @router.get("/two")
    async def ruled_twice(member: Member, editor: Editor) -> None: ...

    assert without_one_rule(a_service(router)) == [
        "GET /nobody-thought-of-it: says nothing", "GET /two: member, editor",
    ]  # fmt: skip


async def test_an_endpoint_that_touches_the_database_first_is_seen(tokens: TokenMaker) -> None:
    router = APIRouter()

    @router.get("/too-early")
    async def too_early(session: Transaction, caller: Member) -> None: ...

    found = await let_in(a_service(router), tokens)
    assert "GET /too-early as no token: 503 instead of 401" in found


def test_paths_are_filled_in() -> None:
    filled = Endpoint("GET", "/v1/apis/{api_id}/x", ()).example_path
    assert filled == "/v1/apis/01900000-0000-7000-8000-000000000001/x"
