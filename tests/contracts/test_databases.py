"""What each service's three database roles may do, whatever the service's own tests say."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.architecture.repository import SERVICES
from tests.support.databases import Databases

# What anybody who has a token may read: it belongs to no organisation.
OPEN_TO_ALL = {
    "catalog": {"category", "organisation"},  # names and slugs, which stand in every public path
    "billing": {"billing_switch"},
    "metering": {
        "kafka_offset",
        "api_version",
        "endpoint",
        "request_log_reach",
    },  # how far it has read, and back; methods, paths and weights
}

# Rows that not even a worker may change or remove: evidence, and money as it was posted.
KEPT_FROM_THE_WORKER = {
    "kong_sync": {("blocked_audit", "UPDATE"), ("blocked_audit", "DELETE")},
    "accounts": {("audit_entry", "UPDATE"), ("audit_entry", "DELETE")},
    "metering": {(table, right) for table in ("alert_audit", "usage_root") for right in ("UPDATE", "DELETE")},
    "billing": {
        *((table, "UPDATE") for table in ("ledger_transaction", "ledger_entry", "invoice_line")),
        *((table, "DELETE") for table in ("ledger_transaction", "ledger_entry", "invoice_line", "invoice", "payout")),
        *((table, "DELETE") for table in ("sold_terms", "stripe_call", "webhook_event", "invoice_hold")),
    },
}  # fmt: skip


@pytest.fixture(params=SERVICES)
async def database(
    request: pytest.FixtureRequest, databases: Databases
) -> AsyncIterator[tuple[str, asyncpg.Connection]]:
    """A service's migrated database, as its superuser sees it."""
    urls = await databases.clone(request.param)
    connection = await asyncpg.connect(urls.superuser.replace("+asyncpg", ""))
    yield request.param, connection
    await connection.close()
    await databases.drop(urls)


async def test_the_api_role_reads_only_tables_with_row_level_security(
    database: tuple[str, asyncpg.Connection],
) -> None:
    service, connection = database
    rows = await connection.fetch(
        """SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm')
           AND NOT (relrowsecurity OR relkind = 'v' AND 'security_invoker=true' = ANY(reloptions))
           AND relnamespace = 'public'::regnamespace AND has_table_privilege($1, oid, 'SELECT, UPDATE, DELETE')""",
        f"{service}_api",
    )
    assert {row["relname"] for row in rows} <= OPEN_TO_ALL.get(service, set())


async def test_no_policy_is_simply_true(database: tuple[str, asyncpg.Connection]) -> None:
    service, connection = database
    rows = await connection.fetch(
        """SELECT tablename FROM pg_policies WHERE schemaname = 'public'
           AND (qual = 'true' OR with_check = 'true' OR (qual IS NULL AND with_check IS NULL))"""
    )
    assert {row["tablename"] for row in rows} <= OPEN_TO_ALL.get(service, set())


async def test_nobody_who_serves_requests_owns_a_table_or_passes_by_a_policy(
    database: tuple[str, asyncpg.Connection],
) -> None:
    service, connection = database
    roles = await connection.fetch(
        "SELECT rolname, rolsuper, rolbypassrls, rolcanlogin FROM pg_roles WHERE rolname = ANY($1)",
        [f"{service}_api", f"{service}_worker"],
    )
    assert {tuple(role) for role in roles} == {
        (f"{service}_api", False, False, True), (f"{service}_worker", False, True, True),
    }  # fmt: skip
    owners = await connection.fetch(
        "SELECT DISTINCT pg_get_userbyid(relowner) AS owner FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    )
    assert {row["owner"] for row in owners} == {f"{service}_owner"}


async def test_the_worker_may_do_everything_but_change_what_is_kept_from_it(
    database: tuple[str, asyncpg.Connection],
) -> None:
    service, connection = database
    refused = await connection.fetch(
        """SELECT relname, privilege FROM pg_class, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
           WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace AND NOT relispartition
           AND relname <> 'alembic_version' AND NOT has_table_privilege($1, oid, privilege)""",
        f"{service}_worker",
    )
    assert {tuple(row) for row in refused} == KEPT_FROM_THE_WORKER.get(service, set())


async def test_a_table_without_protection_is_seen(databases: Databases) -> None:
    urls = await databases.clone("catalog")
    connection = await asyncpg.connect(urls.superuser.replace("+asyncpg", ""))
    await connection.execute("CREATE TABLE leak (id int); GRANT SELECT ON leak TO catalog_api")
    await connection.execute(
        "ALTER TABLE plan ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON plan USING (true)"
    )
    for check in (test_the_api_role_reads_only_tables_with_row_level_security, test_no_policy_is_simply_true):
        with pytest.raises(AssertionError):
            await check(("catalog", connection))
    await connection.close()
    await databases.drop(urls)
