"""The same request again: the same answer, one effect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import text

from common.db import Database, Scope
from common.ids import new_id
from common.outbox.relay import Relay
from common.settings import ServiceSettings
from tests.common.apps import client_of, sample_app
from tests.support.clock import FixedClock
from tests.support.tokens import TokenMaker

ORGANISATION, USER = new_id(), new_id()


@pytest.fixture
async def client(
    db: Database, settings: ServiceSettings, tokens: TokenMaker
) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(sample_app(db, settings, tokens)) as client:
        client.headers.update(tokens.headers(organisation_id=ORGANISATION, user_id=USER))
        yield client


async def ask(client: httpx.AsyncClient, body: str = "x", key: str | None = "k1") -> httpx.Response:
    return await client.post("/keys", json={"body": body}, headers={"Idempotency-Key": key} if key else {})


async def notes(db: Database) -> int:
    async with db.begin() as session:
        return await session.scalar(text("SELECT count(*) FROM note")) or 0


async def test_a_repeat_gets_the_first_answer_without_its_secret(
    client: httpx.AsyncClient, worker_db: Database
) -> None:
    first, again = await ask(client), await ask(client)
    assert (first.status_code, again.status_code) == (201, 201)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == first.json() | {"secret": None}
    assert first.json()["secret"].startswith("mk_live_")
    assert await notes(worker_db) == 1


async def test_the_secret_is_in_no_table(client: httpx.AsyncClient, worker_db: Database) -> None:
    secret = (await ask(client)).json()["secret"]
    async with worker_db.begin() as session:
        stored = await session.scalar(text("SELECT string_agg(k::text, ' ') FROM idempotency_key k"))
    assert stored
    assert secret not in stored


async def test_the_key_of_another_request_is_refused(client: httpx.AsyncClient, worker_db: Database) -> None:
    await ask(client)
    other = await ask(client, "y")
    assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert await notes(worker_db) == 1


async def test_two_at_once_take_effect_once(client: httpx.AsyncClient, worker_db: Database) -> None:
    answers = await asyncio.gather(*(ask(client, "slow") for _ in range(4)))
    assert [answer.status_code for answer in answers] == [201] * 4
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 3
    assert await notes(worker_db) == 1


async def test_a_request_that_failed_frees_its_key(client: httpx.AsyncClient, worker_db: Database) -> None:
    assert (await ask(client, "refused")).status_code == 422
    assert (await ask(client, "x")).status_code == 201
    assert await notes(worker_db) == 1


async def test_without_a_key_each_request_counts(client: httpx.AsyncClient, worker_db: Database) -> None:
    await ask(client, key=None)
    await ask(client, key=None)
    assert await notes(worker_db) == 2


async def test_keys_of_two_callers_do_not_meet(
    client: httpx.AsyncClient, worker_db: Database, tokens: TokenMaker
) -> None:
    mine = await ask(client)
    client.headers.update(tokens.headers(organisation_id=new_id(), user_id=USER))
    theirs = await ask(client)
    assert mine.json()["id"] != theirs.json()["id"]
    assert await notes(worker_db) == 2


async def test_a_query_without_a_where_sees_no_answer_of_others(
    client: httpx.AsyncClient, db: Database, tokens: TokenMaker
) -> None:
    await ask(client)
    stored = text("SELECT count(*) FROM idempotency_key")
    for scope, seen in ((Scope(ORGANISATION), 1), (Scope(new_id(), platform_admin=True), 0), (None, 0)):
        async with db.begin(scope) as session:
            assert await session.scalar(stored) == seen


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_that_cannot_be_kept_is_refused(client: httpx.AsyncClient, key: str) -> None:
    answer = await client.post("/keys", json={"body": "x"}, headers={"Idempotency-Key": key})
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_FAILED")


async def test_keys_are_forgotten_after_two_days(
    db: Database, worker_db: Database, clock: FixedClock
) -> None:
    insert = text(
        "INSERT INTO idempotency_key (caller, key, request_hash, created_at) VALUES ('c', 'k', '', :now)"
    )
    async with worker_db.begin() as session:
        await session.execute(insert, {"now": clock.now()})
    tidying = Relay(worker_db, None, clock, "sample")
    for hours, left in ((47, 1), (2, 0)):
        clock.advance(hours=hours)
        await tidying.tidy()
        async with worker_db.begin() as session:
            assert await session.scalar(text("SELECT count(*) FROM idempotency_key")) == left
