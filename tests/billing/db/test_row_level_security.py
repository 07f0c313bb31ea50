"""What a forgotten WHERE shows: nothing of others."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from billing.usecases.mark_past_due import mark_past_due
from common.db import Database, Scope
from tests.billing.factories import ADMIN, CONSUMER, PROVIDER, STRANGER
from tests.billing.scenario import GRACE, Scenario

CONSUMERS_OWN = ("subscription", "sold_terms", "billing_account", "invoice", "invoice_line")
HIDDEN = ("period_total", "period_part", "usage_adjustment", "invoice_task", "stripe_call", "webhook_event")


@pytest.fixture
async def busy(scenario: Scenario) -> Scenario:
    await scenario.sell("11-16")
    await scenario.cut_off("12-01", 1350)
    await scenario.attach_card()
    await scenario.pay((await scenario.invoices())[0])
    async with scenario.db.begin() as session:
        await mark_past_due(session, grace=GRACE, now=scenario.clock.now())
    return scenario


async def _rows(db: Database, table: str, scope: Scope | None) -> int:
    async with db.begin(scope) as session:
        return int(await session.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


@pytest.mark.parametrize("table", CONSUMERS_OWN)
async def test_a_consumer_sees_its_own_and_nobody_else_does(db: Database, busy: Scenario, table: str) -> None:
    assert await _rows(db, table, Scope(CONSUMER)) > 0
    assert await _rows(db, table, Scope(STRANGER)) == 0
    assert await _rows(db, table, Scope(PROVIDER)) == 0
    assert await _rows(db, table, None) == 0
    assert await _rows(db, table, Scope(ADMIN, platform_admin=True)) > 0


async def test_each_side_sees_its_own_entries_only(db: Database, busy: Scenario) -> None:
    accounts = text("SELECT DISTINCT account FROM ledger_entry ORDER BY account")
    shown: dict[str, list[str]] = {}
    for name, scope in {
        "consumer": Scope(CONSUMER), "provider": Scope(PROVIDER), "stranger": Scope(STRANGER),
    }.items():  # fmt: skip
        async with db.begin(scope) as session:
            shown[name] = list((await session.scalars(accounts)).all())
    assert shown == {
        "consumer": ["receivable"],
        "provider": ["fee_pending", "platform_fee", "provider_available", "provider_pending"],
        "stranger": [],
    }


@pytest.mark.parametrize("table", HIDDEN)
async def test_the_api_role_does_not_reach_the_workers_tables(
    db: Database, busy: Scenario, table: str
) -> None:
    with pytest.raises(DBAPIError, match="permission denied"):
        await _rows(db, table, Scope(ADMIN, platform_admin=True))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE invoice SET status = 'paid'",
        "DELETE FROM invoice_line",
        "INSERT INTO ledger_transaction SELECT * FROM ledger_transaction",
        "UPDATE billing_account SET payouts_enabled = true",
    ],
)
async def test_the_api_role_cannot_make_or_change_money(db: Database, busy: Scenario, statement: str) -> None:
    with pytest.raises(DBAPIError, match="permission denied"):
        async with db.begin(Scope(CONSUMER)) as session:
            await session.execute(text(statement))


async def test_an_address_cannot_be_written_for_another_organisation(db: Database) -> None:
    statement = text("""
        INSERT INTO billing_address (organisation_id, version, legal_name, email, line1, postal_code, city, country,
            updated_at)
        VALUES (:owner, 1, 'x', 'x@x.x', 'x', 'x', 'x', 'DE', now())""")
    with pytest.raises(DBAPIError, match="row-level security"):
        async with db.begin(Scope(STRANGER)) as session:
            await session.execute(statement, {"owner": CONSUMER})


async def test_every_tenant_table_is_protected(worker_db: Database) -> None:
    query = text("""
        SELECT c.relname FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
            AND NOT c.relrowsecurity AND has_table_privilege('billing_api', c.oid, 'SELECT')""")
    async with worker_db.begin() as session:
        open_to_all = set((await session.scalars(query)).all())
    assert open_to_all - {"idempotency_key"} == {"billing_switch"}
