"""The ledger's rules in the database itself, with real commits: a savepoint would hide a deferred trigger."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from billing.db import ledger
from billing.domain.ledger import Posting, transfer_started
from common.db import Database
from common.ids import new_id
from tests.billing.factories import PROVIDER, an_id, at

NOW = at("12-01")
HEAD = text("""
    INSERT INTO ledger_transaction (id, posting_key, kind, posted_at) VALUES (:id, :key, 'test', :now)""")
ENTRY = text("""
    INSERT INTO ledger_entry (id, transaction_id, account, currency, amount)
    VALUES (:id, :head, 'cash', :currency, :amount)""")


def posting(key: int = 1, amount: int = 500) -> Posting:
    return transfer_started(an_id(key), PROVIDER, "EUR", amount)


async def _write(db: Database, *entries: tuple[str, int]) -> None:
    async with db.begin() as session:
        head = new_id()
        await session.execute(HEAD, {"id": head, "key": str(head), "now": NOW})
        for currency, amount in entries:
            await session.execute(
                ENTRY, {"id": new_id(), "head": head, "currency": currency, "amount": amount}
            )


async def _count(db: Database) -> int:
    async with db.begin() as session:
        return int(await session.scalar(text("SELECT count(*) FROM ledger_entry")) or 0)


async def test_a_posting_is_booked_once_however_often_it_is_told(worker_db: Database) -> None:
    for expected in (True, False):
        async with worker_db.begin() as session:
            assert await ledger.post(session, posting(), now=NOW) is expected
    assert await _count(worker_db) == 2


@pytest.mark.parametrize(
    "entries",
    [
        (("EUR", 1), ("EUR", -2)),
        (("EUR", 1), ("USD", -1)),
        (("EUR", 1),),
        (),
    ],
)
async def test_what_does_not_balance_per_currency_is_not_committed(
    worker_db: Database, entries: tuple[tuple[str, int], ...]
) -> None:
    with pytest.raises(DBAPIError, match="does not balance"):
        await _write(worker_db, *entries)
    assert await _count(worker_db) == 0


async def test_two_currencies_may_balance_side_by_side(worker_db: Database) -> None:
    await _write(worker_db, ("EUR", 1), ("EUR", -1), ("USD", 5), ("USD", -5))
    assert await _count(worker_db) == 4


async def test_a_committed_posting_takes_no_further_entry(worker_db: Database) -> None:
    async with worker_db.begin() as session:
        await ledger.post(session, posting(), now=NOW)
        head = await session.scalar(text("SELECT id FROM ledger_transaction"))
    with pytest.raises(DBAPIError, match="is closed"):
        async with worker_db.begin() as session:
            for amount in (7, -7):
                await session.execute(
                    ENTRY, {"id": new_id(), "head": head, "currency": "EUR", "amount": amount}
                )


@pytest.mark.parametrize("table", ["ledger_entry", "ledger_transaction"])
@pytest.mark.parametrize("verb", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
async def test_nobody_changes_the_past(urls: object, worker_db: Database, table: str, verb: str) -> None:
    async with worker_db.begin() as session:
        await ledger.post(session, posting(), now=NOW)
    statement = text(verb.format(table))
    with pytest.raises(DBAPIError, match="permission denied"):
        async with worker_db.begin() as session:
            await session.execute(statement)
    owner = Database(urls.owner, name="owner")  # type: ignore[attr-defined]
    try:
        with pytest.raises(DBAPIError, match="only grows"):
            async with owner.begin() as session:
                await session.execute(statement)
    finally:
        await owner.dispose()
    assert await _count(worker_db) == 2


async def test_an_invoice_line_is_never_changed_either(worker_db: Database) -> None:
    with pytest.raises(DBAPIError, match="permission denied"):
        async with worker_db.begin() as session:
            await session.execute(text("UPDATE invoice_line SET amount = 1"))
