"""The books, for the operator."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel

from billing.api.dependencies import OptionsDep
from billing.db import ledger
from common.http.auth import PlatformAdmin
from common.http.transaction import Transaction
from common.pagination import Cursor, Limit, encode_cursor, id_after

router = APIRouter(prefix="/v1/ledger", tags=["ledger"])


class AccountOut(BaseModel):
    """An account's balance: debits minus credits."""

    name: str
    balance: int


class TrialBalanceOut(BaseModel):
    """The sums of all debit balances and of all credit balances: always equal."""

    debit: int
    credit: int
    accounts: list[AccountOut]


class EntryOut(BaseModel):
    """One entry: positive on the debit side."""

    id: UUID
    posting_key: str
    kind: str
    account: str
    organisation_id: UUID | None
    currency: str
    amount: int
    invoice_id: UUID | None
    payout_id: UUID | None
    posted_at: AwareDatetime


class EntryPage(BaseModel):
    """A page of entries, the newest first."""

    items: list[EntryOut]
    next_cursor: str | None


@router.get("/trial-balance")
async def get_trial_balance(
    _: PlatformAdmin, session: Transaction, options: OptionsDep
) -> dict[str, TrialBalanceOut]:
    """Every account in every currency."""
    result = {options.default_currency: TrialBalanceOut(debit=0, credit=0, accounts=[])}
    for row in await ledger.trial_balance(session):
        total = result.setdefault(row.currency, TrialBalanceOut(debit=0, credit=0, accounts=[]))
        total.accounts.append(AccountOut(name=row.account, balance=row.balance))
        total.debit += max(row.balance, 0)
        total.credit += max(-row.balance, 0)
    return result


@router.get("/entries")
async def list_entries(
    _: PlatformAdmin,
    session: Transaction,
    invoice_id: UUID | None = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> EntryPage:
    """What was booked; of one invoice when it is named."""
    found = await ledger.list_entries(session, after=id_after(cursor), invoice_id=invoice_id, limit=limit + 1)
    more = len(found) > limit
    items = [
        EntryOut.model_validate({name: getattr(entry, name) for name in EntryOut.model_fields})
        for entry in found[:limit]
    ]
    return EntryPage(items=items, next_cursor=encode_cursor(str(found[limit - 1].id)) if more else None)
