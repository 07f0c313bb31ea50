"""A database with nothing but the shared tables and one tenant table, as any service would have them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from common.migrations import common_tables_v1, grant, tenant_policy
from common.settings import ServiceSettings
from devstack.embedded.databases import DatabaseUrls, provision
from tests.support.databases import PASSWORD, Databases


def _migrate(connection: Connection) -> None:
    operations = Operations(MigrationContext.configure(connection))
    common_tables_v1(operations, "sample")
    connection.execute(
        text("CREATE TABLE note (id uuid PRIMARY KEY, organisation_id uuid NOT NULL, body text, version int)")
    )
    grant(operations, "sample", "note", api="SELECT, INSERT, UPDATE")
    tenant_policy(operations, "note", consumer="organisation_id", public_where="body = 'public'")


@pytest.fixture(scope="session")
async def sample_template(databases: Databases) -> None:
    await provision(databases.server.url, "sample", PASSWORD)
    engine = create_async_engine(databases.urls("sample", "sample").owner)
    async with engine.begin() as connection:
        await connection.run_sync(_migrate)
    await engine.dispose()


@pytest.fixture
def service() -> str:
    return "sample"


@pytest.fixture
async def urls(databases: Databases, sample_template: None) -> AsyncIterator[DatabaseUrls]:
    cloned = await databases.clone_of("sample")
    yield cloned
    await databases.drop(cloned)


@pytest.fixture
def settings(urls: DatabaseUrls, request: pytest.FixtureRequest) -> ServiceSettings:
    needs_kafka = "kafka" in request.fixturenames
    return ServiceSettings.model_validate(
        {
            "DATABASE_URL": urls.api, "DATABASE_WORKER_URL": urls.worker, "REDIS_URL": "redis://127.0.0.1:1/0",
            "KAFKA_BOOTSTRAP_SERVERS": request.getfixturevalue("kafka") if needs_kafka else "127.0.0.1:1",
            "KAFKA_TOPIC_PREFIX": urls.api.rsplit("/", 1)[1] + ".",
            "JWKS_URL": "http://accounts.test/.well-known/jwks.json", "TOKEN_ISSUER": "http://accounts.test",
        }
    )  # fmt: skip


@pytest.fixture
async def superuser(urls: DatabaseUrls) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(urls.superuser.replace("+asyncpg", ""))
    yield connection
    await connection.close()
