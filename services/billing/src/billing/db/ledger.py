"""The ledger: postings in, sums out. It only grows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

from billing.domain.ledger import Account, Posting
from common.ids import new_id

_POST = text("""
    INSERT INTO ledger_transaction (id, posting_key, kind, invoice_id, payout_id, posted_at)
    VALUES (:id, :posting_key, :kind, :invoice_id, :payout_id, :now)
    ON CONFLICT (posting_key) DO NOTHING RETURNING id""")
_ENTER = text("""
    INSERT INTO ledger_entry (id, transaction_id, account, organisation_id, currency, amount)
    VALUES (:id, :transaction_id, :account, :organisation_id, :currency, :amount)""")
_TRIAL = text("""
    SELECT currency, account, sum(amount)::bigint AS balance,
        coalesce(sum(amount) FILTER (WHERE amount > 0), 0)::bigint AS debit,
        coalesce(-sum(amount) FILTER (WHERE amount < 0), 0)::bigint AS credit
    FROM ledger_entry GROUP BY currency, account ORDER BY currency, account""")
_OWN = text("""
    SELECT currency, account, sum(amount)::bigint AS balance FROM ledger_entry
    WHERE organisation_id = :organisation_id GROUP BY currency, account ORDER BY currency, account""")
_LIST = text("""
    SELECT e.*, t.posting_key, t.kind, t.invoice_id, t.payout_id, t.posted_at
    FROM ledger_entry e JOIN ledger_transaction t ON t.id = e.transaction_id
    WHERE (CAST(:after AS uuid) IS NULL OR e.id < :after)
        AND (CAST(:invoice_id AS uuid) IS NULL OR t.invoice_id = :invoice_id)
    ORDER BY e.id DESC LIMIT :limit""")
_AVAILABLE = text("""
    SELECT e.organisation_id, e.currency, -sum(e.amount)::bigint AS amount
    FROM ledger_entry e JOIN billing_account a ON a.organisation_id = e.organisation_id
    WHERE e.account = 'provider_available' AND a.payouts_enabled
    GROUP BY e.organisation_id, e.currency HAVING -sum(e.amount) >= :minimum ORDER BY 1, 2""")
_AVAILABLE_OF = text("""
    SELECT coalesce(-sum(amount), 0)::bigint FROM ledger_entry
    WHERE account = 'provider_available' AND organisation_id = :organisation_id AND currency = :currency""")
_POSTED = text("""
    SELECT t.posting_key, t.kind, t.invoice_id, t.payout_id, sum(e.amount) FILTER (WHERE e.amount > 0)::bigint AS debit,
        sum(e.amount)::bigint AS balance
    FROM ledger_transaction t LEFT JOIN ledger_entry e ON e.transaction_id = t.id
    GROUP BY t.id, e.currency ORDER BY t.id""")


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """One account in one currency; debits minus credits."""

    currency: str
    account: str
    balance: int
    debit: int = 0
    credit: int = 0


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry with the posting that it belongs to."""

    id: UUID
    posting_key: str
    kind: str
    account: str
    organisation_id: UUID | None
    currency: str
    amount: int
    invoice_id: UUID | None
    payout_id: UUID | None
    posted_at: datetime


@dataclass(frozen=True, slots=True)
class Posted:
    """A posting as it stands in the books, in one currency."""

    key: str
    kind: str
    invoice_id: UUID | None
    payout_id: UUID | None
    debit: int
    balance: int


@dataclass(frozen=True, slots=True)
class Available:
    """Money that a provider may be sent."""

    organisation_id: UUID
    currency: str
    amount: int


async def post(session: AsyncSession, posting: Posting, *, now: datetime) -> bool:
    """The posting is in the books, once however often it is told. False when it was there before."""
    transaction_id = await session.scalar(
        _POST,
        {
            "id": new_id(), "posting_key": posting.key, "kind": posting.kind, "invoice_id": posting.invoice_id,
            "payout_id": posting.payout_id, "now": now,
        },
    )  # fmt: skip
    if transaction_id is None:
        return False
    await session.execute(
        _ENTER,
        [
            {
                "id": new_id(), "transaction_id": transaction_id, "account": entry.account,
                "organisation_id": entry.organisation_id, "currency": entry.currency, "amount": entry.amount,
            }
            for entry in posting.entries
        ],
    )  # fmt: skip
    return True


async def trial_balance(session: AsyncSession) -> list[AccountBalance]:
    """Every account in every currency."""
    return [
        AccountBalance(r.currency, r.account, r.balance, r.debit, r.credit)
        for r in await session.execute(_TRIAL)
    ]


async def balances_of(session: AsyncSession, organisation_id: UUID) -> dict[str, dict[Account, int]]:
    """An organisation's own entries, summed by currency and account; debits positive."""
    result: dict[str, dict[Account, int]] = {}
    for row in await session.execute(_OWN, {"organisation_id": organisation_id}):
        result.setdefault(row.currency, {})[Account(row.account)] = row.balance
    return result


async def list_entries(
    session: AsyncSession, *, after: UUID | None, invoice_id: UUID | None, limit: int
) -> list[StoredEntry]:
    """Entries, the newest first; of one invoice when it is named."""
    rows = await session.execute(_LIST, {"after": after, "invoice_id": invoice_id, "limit": limit})
    return [_entry(row) for row in rows]


async def payable(session: AsyncSession, *, minimum: int) -> list[Available]:
    """What could be sent now, of every provider whose account takes payouts."""
    rows = await session.execute(_AVAILABLE, {"minimum": minimum})
    return [Available(row.organisation_id, row.currency, row.amount) for row in rows]


async def available_of(session: AsyncSession, organisation_id: UUID, currency: str) -> int:
    """What one provider may be sent now."""
    names = {"organisation_id": organisation_id, "currency": currency}
    return int(await session.scalar(_AVAILABLE_OF, names) or 0)


async def all_posted(session: AsyncSession) -> list[Posted]:
    """Every posting, for reconciliation."""
    return [
        Posted(r.posting_key, r.kind, r.invoice_id, r.payout_id, r.debit or 0, r.balance or 0)
        for r in await session.execute(_POSTED)
    ]


def _entry(row: Row[Any]) -> StoredEntry:
    return StoredEntry(
        row.id, row.posting_key, row.kind, row.account, row.organisation_id, row.currency, row.amount,
        row.invoice_id, row.payout_id, row.posted_at,
    )  # fmt: skip
