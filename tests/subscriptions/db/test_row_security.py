"""What the API role sees and writes without any WHERE of ours."""

from typing import Any

import pytest
from httpx import AsyncClient
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from common.db import Database, Scope
from subscriptions.consumers.api import on_api
from subscriptions.consumers.gateway_subscription import GatewaySubscriptionEvent, on_gateway_subscription
from subscriptions.consumers.key_use import KeyUseEvent, on_key_use
from subscriptions.consumers.quota import QuotaEvent, on_quota
from tests.subscriptions.conftest import Caller
from tests.subscriptions.factories import ACME, GLOBEX, INITECH, an_api_event, set_standing, subscribe
from tests.support.clock import NOON

TABLES = [
    "subscription",
    "phase",
    "api_key",
    "standing",
    "gateway_state",
    "quota",
    "key_use",
    "api_version",
    "api",
    "plan",
]
CONSUMER, PROVIDER, OTHER, NOBODY = Scope(GLOBEX), Scope(ACME), Scope(INITECH), Scope()


@pytest.fixture
async def sold(client: AsyncClient, globex: Caller, on_sale: None, worker_db: Database) -> dict[str, Any]:
    """Globex has subscribed to Acme's API; every copy holds a row."""
    created = await subscribe(client, globex())
    subscription_id = created["subscription"]["id"]
    await set_standing(worker_db, "good", version=1)
    async with worker_db.begin() as session:
        gateway = {"subscription_id": subscription_id, "version": 1, "state": "live"}
        await on_gateway_subscription(session, GatewaySubscriptionEvent.model_validate(gateway), now=NOON)
        quota = {"subscription_id": subscription_id, "version": 1, "period": "2026-11", "limit": 1, "used": 0}
        await on_quota(session, QuotaEvent.model_validate(quota | {"state": "ok"}), now=NOON)
        use = {"key_id": created["key"]["id"], "version": 1, "organisation_id": GLOBEX, "last_used_at": NOON}
        await on_key_use(session, KeyUseEvent.model_validate(use), now=NOON)
    return created


async def seen(db: Database, scope: Scope) -> list[int]:
    async with db.begin(scope) as session:
        return [int(await session.scalar(text(f"SELECT count(*) FROM {table}")) or 0) for table in TABLES]


async def test_each_side_sees_its_part_and_others_what_is_on_sale(db: Database, sold: dict[str, Any]) -> None:
    assert await seen(db, CONSUMER) == [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    assert await seen(db, PROVIDER) == [1, 1, 0, 1, 1, 1, 0, 1, 1, 1]
    assert await seen(db, OTHER) == await seen(db, NOBODY) == [0, 0, 0, 0, 0, 0, 0, 0, 1, 1]


async def test_copies_of_what_is_not_on_sale_are_the_provider_s(
    db: Database, worker_db: Database, sold: dict[str, Any]
) -> None:
    async with worker_db.begin() as session:
        await on_api(session, an_api_event(version=4, status="draft"), now=NOON)
    assert (await seen(db, OTHER))[-2:] == [0, 0]
    assert (await seen(db, PROVIDER))[-2:] == [1, 1]


async def test_others_change_nothing_without_a_where(db: Database, sold: dict[str, Any]) -> None:
    statements = ["UPDATE subscription SET status = 'active'", "UPDATE phase SET until = since",
                  "UPDATE api_key SET status = 'revoked'"]  # fmt: skip
    for statement in statements:
        for scope in (OTHER, NOBODY):
            async with db.begin(scope) as session:
                assert (await session.execute(text(f"{statement} RETURNING 1"))).all() == []
    async with db.begin(PROVIDER) as session:
        assert (await session.execute(text("UPDATE api_key SET status = 'revoked' RETURNING 1"))).all() == []


async def test_copies_are_written_by_the_worker_alone(db: Database, sold: dict[str, Any]) -> None:
    for table in ("standing", "gateway_state", "quota", "api_version", "api", "plan"):
        copy = f"INSERT INTO {table} SELECT * FROM {table}"
        for statement in (f"UPDATE {table} SET version = 9", f"DELETE FROM {table}", copy):
            with pytest.raises(DBAPIError, match="permission denied"):
                async with db.begin(CONSUMER) as session:
                    await session.execute(text(statement))


async def test_nobody_makes_a_key_for_another_s_subscription(db: Database, sold: dict[str, Any]) -> None:
    insert = text("""
        INSERT INTO api_key (id, version, subscription_id, organisation_id, api_id, name, prefix, sha256, mode,
                             status, scopes, created_at)
        VALUES (gen_random_uuid(), 1, :subscription, :owner, gen_random_uuid(), 'x', 'mk_live_xxxx',
                repeat('a', 64), 'live', 'active', '{}', :now)""")
    values = {"subscription": sold["subscription"]["id"], "now": NOON}
    for owner, reason in ((INITECH, "foreign key"), (GLOBEX, "row-level security")):
        with pytest.raises(DBAPIError, match=reason):
            async with db.begin(OTHER) as session:
                await session.execute(insert, values | {"owner": owner})


async def test_no_column_takes_a_key_in_the_clear(worker_db: Database, sold: dict[str, Any]) -> None:
    for change in (f"sha256 = '{sold['key']['key']}'", f"prefix = '{sold['key']['key']}'"):
        with pytest.raises(DBAPIError, match="hash_only"):
            async with worker_db.begin() as session:
                await session.execute(text(f"UPDATE api_key SET {change}"))


async def test_the_api_role_owns_nothing_and_every_tenant_table_is_protected(worker_db: Database) -> None:
    async with worker_db.begin() as session:
        owners = await session.scalars(
            text("SELECT DISTINCT tableowner::text FROM pg_tables WHERE schemaname = 'public'")
        )
        assert set(owners) == {"subscriptions_owner"}
        unprotected = await session.scalars(
            text("""
                SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = 'public' AND c.relkind = 'r' AND NOT c.relrowsecurity""")
        )
        shared = {"outbox", "inbox", "kafka_offset", "dead_letter", "idempotency_key", "relay_state"}
        assert set(unprotected) - shared == {"alembic_version"}
        roles = await session.execute(
            text(
                "SELECT rolname::text, rolbypassrls, rolsuper FROM pg_roles WHERE rolname LIKE 'subscriptions_%'"
            )
        )
        assert {tuple(role) for role in roles} >= {
            ("subscriptions_api", False, False), ("subscriptions_worker", True, False),
        }  # fmt: skip
