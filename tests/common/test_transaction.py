"""A success is told only of what is committed."""

from __future__ import annotations

import asyncpg
import pytest
from sqlalchemy import text

from common.db import Database
from common.ids import new_id
from common.settings import ServiceSettings
from tests.common.apps import client_of, sample_app
from tests.support.tokens import TokenMaker

COMMIT_FAILS = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused at commit'; END $$;
    CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON note DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION refuse()"""


async def count(db: Database) -> int:
    async with db.begin() as session:
        return await session.scalar(text("SELECT count(*) FROM note")) or 0


@pytest.fixture
def headers(tokens: TokenMaker) -> dict[str, str]:
    return tokens.headers(organisation_id=new_id())


async def test_a_commit_that_fails_is_an_error_and_never_a_success(
    db: Database, worker_db: Database, settings: ServiceSettings, tokens: TokenMaker,
    superuser: asyncpg.Connection, headers: dict[str, str],
) -> None:  # fmt: skip
    await superuser.execute(COMMIT_FAILS)
    async with client_of(sample_app(db, settings, tokens)) as client:
        answer = await client.post("/notes", json={"body": "x"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL_ERROR")
    assert await count(worker_db) == 0


async def test_the_default_scope_would_have_told_a_success_that_never_was(
    db: Database, worker_db: Database, settings: ServiceSettings, tokens: TokenMaker,
    superuser: asyncpg.Connection, headers: dict[str, str],
) -> None:  # fmt: skip
    await superuser.execute(COMMIT_FAILS)
    async with client_of(sample_app(db, settings, tokens)) as client:
        answer = await client.post("/notes-committed-too-late", json={"body": "x"}, headers=headers)
    assert answer.status_code == 201  # if this fails, FastAPI changed its default and our scope= may go
    assert await count(worker_db) == 0


async def test_what_was_answered_with_success_is_committed(
    db: Database, worker_db: Database, settings: ServiceSettings, tokens: TokenMaker, headers: dict[str, str]
) -> None:
    async with client_of(sample_app(db, settings, tokens)) as client:
        answer = await client.post("/notes", json={"body": "x"}, headers=headers)
    assert answer.status_code == 201
    assert await count(worker_db) == 1


async def test_an_error_in_the_block_takes_everything_back(db: Database, worker_db: Database) -> None:
    with pytest.raises(RuntimeError):
        async with worker_db.begin() as session:
            await session.execute(text("INSERT INTO note VALUES (gen_random_uuid(), gen_random_uuid())"))
            raise RuntimeError
    assert await count(worker_db) == 0
