"""What the API role sees and writes without any WHERE of ours."""

from decimal import Decimal
from uuid import UUID

import pytest
from httpx import AsyncClient
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from catalog.db import statistics
from catalog.domain.api import Statistics
from common.db import Database, Scope
from tests.catalog.conftest import Caller
from tests.catalog.factories import ACME, GLOBEX, a_document_text, a_plan_body, publish, register
from tests.support.clock import NOON

TABLES = ["api", "api_version", "openapi_document", "endpoint", "plan", "plan_version", "api_statistics"]
ACME_S, GLOBEX_S, NOBODY_S = Scope(ACME), Scope(GLOBEX), Scope()
OPERATOR_S = Scope(GLOBEX, platform_admin=True)


async def fill(client: AsyncClient, headers: dict[str, str], api_id: str) -> None:
    path = f"/v1/apis/{api_id}"
    await client.put(f"{path}/versions/v1/openapi", content=a_document_text(), headers=headers)
    await client.post(f"{path}/plans", json=a_plan_body(), headers=headers)


@pytest.fixture
async def two_apis(client: AsyncClient, acme: Caller, worker_db: Database) -> tuple[str, str]:
    """Acme's draft and Acme's published API, each with a version, a document, two endpoints, a plan and statistics."""
    draft = await register(client, acme(), slug="draft")
    await fill(client, acme(), draft)
    published = await publish(client, acme(), slug="published")
    await fill(client, acme(), published)
    for api_id in (draft, published):
        async with worker_db.begin() as session:
            measured = Statistics(30, 1, 1, 2, 3, Decimal(100), NOON)
            await statistics.put(session, UUID(api_id), measured, version=1)
    return draft, published


async def seen(db: Database, scope: Scope) -> list[int]:
    async with db.begin(scope) as session:
        return [int(await session.scalar(text(f"SELECT count(*) FROM {table}")) or 0) for table in TABLES]


async def test_others_see_what_is_published_and_no_row_of_a_draft(
    db: Database, two_apis: tuple[str, str]
) -> None:
    assert await seen(db, ACME_S) == await seen(db, OPERATOR_S) == [2, 2, 2, 4, 2, 2, 2]
    assert await seen(db, GLOBEX_S) == await seen(db, NOBODY_S) == [1, 1, 1, 2, 1, 1, 1]


async def test_what_is_private_or_suspended_is_seen_by_nobody_else(
    db: Database, worker_db: Database, two_apis: tuple[str, str]
) -> None:
    for change in (
        "visibility = 'private'",
        "visibility = 'public', status = 'suspended'",
        "status = 'retired'",
    ):
        async with worker_db.begin() as session:
            await session.execute(text(f"UPDATE api SET {change} WHERE slug = 'published'"))
        assert await seen(db, GLOBEX_S) == [0] * len(TABLES)
        assert await seen(db, NOBODY_S) == [0] * len(TABLES)


@pytest.mark.parametrize("scope", [GLOBEX_S, NOBODY_S])
async def test_others_change_nothing_without_a_where(
    db: Database, scope: Scope, two_apis: tuple[str, str]
) -> None:
    statements = [
        "UPDATE api SET name = 'stolen'", "DELETE FROM api", "UPDATE api_version SET changelog = 'x'",
        "UPDATE openapi_document SET content = '{}'", "DELETE FROM endpoint", "UPDATE plan SET status = 'archived'",
    ]  # fmt: skip
    for statement in statements:
        async with db.begin(scope) as session:
            changed = (await session.execute(text(f"{statement} RETURNING 1"))).all()
        assert changed == [], statement
    async with db.begin(scope) as session:
        assert (await session.execute(text("SELECT 1 FROM api FOR UPDATE"))).all() == []


async def test_a_row_cannot_be_hung_on_another_s_api(db: Database, two_apis: tuple[str, str]) -> None:
    """Not even under one's own name: the foreign key holds API and organisation together."""
    _, published = two_apis
    insert = text("""
        INSERT INTO plan (id, version, api_id, provider_organisation_id, name, plan_version_id, status,
                          requires_approval, created_at)
        VALUES (gen_random_uuid(), 1, :api, :owner, 'Mine', gen_random_uuid(), 'active', false, :now)""")
    for owner, reason in ((GLOBEX, "foreign key"), (ACME, "row-level security")):
        with pytest.raises(DBAPIError, match=reason):
            async with db.begin(GLOBEX_S) as session:
                await session.execute(insert, {"api": published, "owner": owner, "now": NOON})


async def test_an_api_cannot_be_given_away_or_taken(db: Database, two_apis: tuple[str, str]) -> None:
    with pytest.raises(DBAPIError):
        async with db.begin(ACME_S) as session:
            await session.execute(text("UPDATE api SET provider_organisation_id = :other"), {"other": GLOBEX})


async def test_the_api_role_owns_nothing_and_every_tenant_table_is_protected(worker_db: Database) -> None:
    async with worker_db.begin() as session:
        owners = await session.scalars(
            text("SELECT DISTINCT tableowner::text FROM pg_tables WHERE schemaname = 'public'")
        )
        assert set(owners) == {"catalog_owner"}
        unprotected = await session.scalars(
            text("""
                SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = 'public' AND c.relkind = 'r' AND NOT c.relrowsecurity""")
        )
        shared = {"outbox", "inbox", "kafka_offset", "dead_letter", "idempotency_key", "relay_state"}
        assert set(unprotected) - shared == {"category", "alembic_version"}
        roles = await session.execute(
            text("SELECT rolname::text, rolbypassrls, rolsuper FROM pg_roles WHERE rolname LIKE 'catalog_%'")
        )
        assert {tuple(role) for role in roles} >= {
            ("catalog_api", False, False), ("catalog_worker", True, False),
        }  # fmt: skip
