"""Every error is a problem detail, and none tells of our insides."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest
from fastapi import APIRouter
from sqlalchemy import text

from common.db import Database
from common.errors import Conflict, NotFound
from common.http.auth import PublicCaller
from common.http.errors import error_responses
from common.http.transaction import Transaction
from common.ids import new_id
from common.settings import ServiceSettings
from devstack.embedded.databases import DatabaseUrls
from tests.common.apps import client_of, sample_app
from tests.support.tokens import TokenMaker

MEMBERS = {"type", "title", "status", "detail", "code", "request_id"}


@pytest.fixture
async def client(
    db: Database, settings: ServiceSettings, tokens: TokenMaker
) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(sample_app(db, settings, tokens)) as client:
        client.headers.update(tokens.headers(organisation_id=new_id()))
        yield client


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    body = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert body.keys() >= MEMBERS
    assert body["request_id"] == answer.headers["X-Request-Id"]
    assert body["type"] == f"/problems/{code.lower().replace('_', '-')}"


async def test_a_body_that_is_not_valid_names_the_field(client: httpx.AsyncClient) -> None:
    answer = await client.post("/notes", json={"body": "x" * 101})
    assert_problem(answer, 422, "VALIDATION_FAILED")
    assert [error["field"] for error in answer.json()["errors"]] == ["body.body"]
    assert "x" * 101 not in answer.text


async def test_a_body_that_is_no_json_is_not_valid(client: httpx.AsyncClient) -> None:
    assert_problem(await client.post("/notes", content=b"{"), 422, "VALIDATION_FAILED")


async def test_a_domain_error_carries_its_code_and_members(client: httpx.AsyncClient) -> None:
    answer = await client.get("/conflict")
    assert_problem(answer, 409, "ALREADY_THERE")
    body = answer.json()
    assert body["detail"] == "There is one already: use it."
    assert (body["note_id"], body["version"]) == ("00000000-0000-0000-0000-000000000007", 3)


async def test_an_unknown_path_and_a_wrong_method_are_problems_too(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get("/nowhere"), 404, "NOT_FOUND")
    answer = await client.delete("/notes")
    assert_problem(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"]


async def test_an_unexpected_error_tells_nothing_of_our_insides(client: httpx.AsyncClient) -> None:
    answer = await client.get("/broken")
    assert_problem(answer, 500, "INTERNAL_ERROR")
    assert not re.search(r"hunter2|RuntimeError|Traceback|\.py", answer.text)


@pytest.mark.parametrize("token", [True, False], ids=["known", "nobody"])
@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "told"])
async def test_a_body_that_would_fill_the_memory_is_refused_whoever_sends_it(
    client: httpx.AsyncClient, *, token: bool, chunked: bool
) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b" " * 1024 * 1024

    if not token:
        del client.headers["Authorization"]
    answer = await client.post("/notes", content=chunks() if chunked else b" " * (9 * 1024 * 1024))
    assert_problem(answer, 413, "REQUEST_TOO_LARGE")
    assert sent < 12  # it was not read to its end


async def test_a_character_that_cannot_be_stored_is_the_callers_mistake(client: httpx.AsyncClient) -> None:
    assert_problem(await client.post("/notes", json={"body": "a\x00b"}), 422, "VALIDATION_FAILED")


async def test_a_database_that_is_away_is_503(
    settings: ServiceSettings, tokens: TokenMaker, urls: DatabaseUrls
) -> None:
    refused = "postgresql+asyncpg://sample_api:secret-password@127.0.0.1:1/sample"
    dropped = urls.api + "_dropped"  # as a server that is starting up: it answers, and lets nobody in
    for url in (refused, dropped):
        db = Database(url, name="test")
        async with client_of(sample_app(db, settings, tokens)) as client:
            answer = await client.get("/notes", headers=tokens.headers(organisation_id=new_id()))
        assert_problem(answer, 503, "UNAVAILABLE")
        assert answer.headers["Retry-After"] == "1"
        assert "password" not in answer.text
        await db.dispose()


async def test_a_connection_that_dies_in_a_request_is_503_and_the_next_request_is_served(
    db: Database, settings: ServiceSettings, tokens: TokenMaker, superuser: asyncpg.Connection
) -> None:
    router = APIRouter()

    @router.get("/dies")
    async def dies(_: PublicCaller, session: Transaction) -> None:
        pid = await session.scalar(text("SELECT pg_backend_pid()"))
        await superuser.execute("SELECT pg_terminate_backend($1)", pid)
        await session.execute(text("SELECT 1"))

    async with client_of(sample_app(db, settings, tokens, router)) as client:
        assert_problem(await client.get("/dies"), 503, "UNAVAILABLE")
        served = await client.get("/notes", headers=tokens.headers(organisation_id=new_id()))
        assert served.status_code == 200


def test_documented_errors_are_listed_by_status() -> None:
    class NoSuchThing(NotFound):
        code = "NO_SUCH_THING"

    found = error_responses(NoSuchThing, NotFound, Conflict)
    assert {status: found[status]["description"] for status in found} == {
        404: "NO_SUCH_THING, NOT_FOUND", 409: "CONFLICT",
    }  # fmt: skip
