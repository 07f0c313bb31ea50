"""What a role may see is decided by the database, so that a forgotten WHERE leaks nothing."""

from __future__ import annotations

from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from common.db import Database, Scope
from common.ids import new_id
from common.settings import ServiceSettings
from devstack.embedded.databases import DatabaseUrls
from tests.common.apps import ALL, INSERT, client_of, sample_app
from tests.support.tokens import TokenMaker

OURS, THEIRS = UUID(int=1), UUID(int=2)


@pytest.fixture(autouse=True)
async def notes(worker_db: Database) -> None:
    async with worker_db.begin() as session:
        for organisation, body in ((OURS, "ours"), (THEIRS, "theirs"), (THEIRS, "public")):
            await session.execute(INSERT, {"id": new_id(), "organisation": organisation, "body": body})


async def seen(db: Database, scope: Scope | None) -> list[str]:
    async with db.begin(scope) as session:
        return list(await session.scalars(ALL))


async def test_a_query_without_a_where_sees_nothing_of_others(db: Database) -> None:
    assert await seen(db, Scope(OURS)) == ["ours", "public"]


async def test_without_a_caller_only_public_rows_are_seen(db: Database) -> None:
    assert await seen(db, None) == ["public"]


async def test_an_operator_sees_all(db: Database) -> None:
    assert await seen(db, Scope(OURS, platform_admin=True)) == ["ours", "public", "theirs"]


async def test_the_worker_sees_all(worker_db: Database) -> None:
    assert await seen(worker_db, None) == ["ours", "public", "theirs"]


async def test_a_scope_ends_with_its_transaction(urls: DatabaseUrls) -> None:
    one_connection = Database(urls.api, name="test", pool_size=1)
    assert await seen(one_connection, Scope(OURS, platform_admin=True)) == ["ours", "public", "theirs"]
    assert await seen(one_connection, None) == ["public"]
    with pytest.raises(RuntimeError):
        async with one_connection.begin(Scope(OURS)):
            raise RuntimeError
    assert await seen(one_connection, None) == ["public"]
    async with one_connection.engine.connect() as connection:  # even past our own door
        assert list(await connection.scalars(ALL)) == ["public"]
        assert await connection.scalar(text("SELECT pg_backend_pid()")) is not None
    assert one_connection.engine.pool.checkedin() == 1  # type: ignore[attr-defined]
    await one_connection.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO note (id, organisation_id) VALUES (gen_random_uuid(), :theirs)",
        "UPDATE note SET organisation_id = :theirs",
    ],
)
async def test_a_row_of_another_organisation_cannot_be_written(db: Database, statement: str) -> None:
    with pytest.raises(ProgrammingError, match="row-level security"):
        async with db.begin(Scope(OURS)) as session:
            await session.execute(text(statement), {"theirs": THEIRS})


async def test_an_update_without_a_where_changes_own_rows_only(db: Database, worker_db: Database) -> None:
    async with db.begin(Scope(OURS)) as session:
        await session.execute(text("UPDATE note SET body = 'changed'"))
    assert await seen(worker_db, None) == ["changed", "public", "theirs"]


async def test_a_public_row_may_be_read_and_not_changed(db: Database, worker_db: Database) -> None:
    async with db.begin(Scope(OURS)) as session:
        await session.execute(text("UPDATE note SET body = 'taken' WHERE body = 'public'"))
    assert "taken" not in await seen(worker_db, None)


async def test_the_api_role_owns_nothing_and_cannot_pass_by_the_policies(db: Database) -> None:
    query = text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
    owned = text("SELECT count(*) FROM pg_class WHERE pg_get_userbyid(relowner) = current_user")
    async with db.begin() as session:
        assert await session.scalar(query) is False
        assert await session.scalar(owned) == 0


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 FROM outbox", "UPDATE outbox SET sent_at = now()", "DELETE FROM outbox", "SELECT 1 FROM inbox",
        "SELECT 1 FROM kafka_offset", "SELECT 1 FROM dead_letter", "SELECT 1 FROM relay_state",
        "DELETE FROM idempotency_key",
    ],
)  # fmt: skip
async def test_the_api_role_may_only_add_to_the_shared_tables(db: Database, statement: str) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"):
        async with db.begin(Scope(OURS, platform_admin=True)) as session:
            await session.execute(text(statement))


async def test_a_request_sees_the_rows_of_its_token(
    db: Database, settings: ServiceSettings, tokens: TokenMaker
) -> None:
    async with client_of(sample_app(db, settings, tokens)) as client:
        own = await client.get("/notes", headers=tokens.headers(organisation_id=OURS))
        all_of_them = await client.get(
            "/notes", headers=tokens.headers(organisation_id=OURS, platform_admin=True)
        )
    assert own.json() == ["ours", "public"]
    assert all_of_them.json() == ["ours", "public", "theirs"]
