"""How a provider is paid."""

from __future__ import annotations

from typing import Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, Field

from billing.api.dependencies import OptionsDep, StripeDep, WorkerDatabase
from billing.clients.stripe import StripeUnavailable
from billing.db import accounts, ledger, payouts
from billing.db.accounts import BillingAccount
from billing.domain.errors import ConnectAccountNotFound, PlatformCountryRefused
from billing.domain.ledger import Account
from billing.usecases.make_onboarding_link import make_onboarding_link
from billing.usecases.open_connect_account import open_connect_account
from common.http.auth import FinanceManager, Member
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.transaction import Transaction
from common.pagination import Cursor, Limit, encode_cursor, id_after

router = APIRouter(prefix="/v1", tags=["providers"])


class ConnectRequest(BaseModel):
    """Where the provider is established."""

    country: str = Field(default="DE", pattern="^[A-Z]{2}$")


class ConnectOut(BaseModel):
    """The connected account, and what Stripe still wants to know."""

    account_id: str
    charges_enabled: bool
    payouts_enabled: bool
    requirements: list[str]

    @classmethod
    def of(cls, account: BillingAccount | None) -> Self:
        """The account as it is shown; ConnectAccountNotFound without one."""
        if account is None or account.connect_account_id is None:
            raise ConnectAccountNotFound("Open an account for payouts first: POST /v1/connect/account.")
        return cls(
            account_id=account.connect_account_id, charges_enabled=account.charges_enabled,
            payouts_enabled=account.payouts_enabled, requirements=list(account.requirements),
        )  # fmt: skip


class OnboardingLinkOut(BaseModel):
    """A link of short life."""

    url: str
    expires_at: AwareDatetime


class BalanceOut(BaseModel):
    """A provider's money in minor units: of unpaid invoices, to be sent, on its way, sent; and the platform's fee."""

    pending: int
    available: int
    in_transit: int
    paid_out: int
    fee: int


class PayoutOut(BaseModel):
    """A transfer to the provider's connected account."""

    id: UUID
    currency: str
    amount: int
    status: str
    created_at: AwareDatetime
    finished_at: AwareDatetime | None


class PayoutPage(BaseModel):
    """A page of payouts, the newest first."""

    items: list[PayoutOut]
    next_cursor: str | None


@router.post(
    "/connect/account", status_code=201, responses=error_responses(PlatformCountryRefused, StripeUnavailable)
)
async def post_connect_account(
    caller: FinanceManager, worker_db: WorkerDatabase, stripe: StripeDep, clock: ClockDep,
    body: ConnectRequest | None = None,
) -> ConnectOut:  # fmt: skip
    """Open an account for payouts; a second request answers the first one's."""
    country = (body or ConnectRequest()).country
    account = await open_connect_account(worker_db, stripe, clock, caller.organisation_id, country=country)
    return ConnectOut.of(account)


@router.get("/connect/account", responses=error_responses(ConnectAccountNotFound))
async def get_connect_account(caller: FinanceManager, session: Transaction) -> ConnectOut:
    """The account for payouts as Stripe last told."""
    return ConnectOut.of(await accounts.find(session, caller.organisation_id))


@router.post(
    "/connect/onboarding-link",
    status_code=201,
    responses=error_responses(ConnectAccountNotFound, StripeUnavailable),
)
async def post_onboarding_link(
    caller: FinanceManager, worker_db: WorkerDatabase, stripe: StripeDep, options: OptionsDep
) -> OnboardingLinkOut:
    """A link to where the provider tells Stripe who they are."""
    link = await make_onboarding_link(
        worker_db, stripe, caller.organisation_id, return_url=options.onboarding_return_url
    )
    return OnboardingLinkOut(url=link.url, expires_at=link.expires_at)


@router.get("/balance")
async def get_balance(caller: Member, session: Transaction, options: OptionsDep) -> dict[str, BalanceOut]:
    """The organisation's balance as a provider, by currency."""
    own = await ledger.balances_of(session, caller.organisation_id)
    sent = await payouts.paid_out(session, caller.organisation_id)
    selling = {currency: sums for currency, sums in own.items() if sums.keys() - {Account.RECEIVABLE}}
    return {
        currency: _balance(sums, paid_out=sent.get(currency, 0))
        for currency, sums in (selling or {options.default_currency: {}}).items()
    }


def _balance(sums: dict[Account, int], *, paid_out: int) -> BalanceOut:
    def owed(account: Account) -> int:
        return -sums.get(account, 0)

    return BalanceOut(
        pending=owed(Account.PROVIDER_PENDING), available=owed(Account.PROVIDER_AVAILABLE),
        in_transit=owed(Account.TRANSFER_IN_TRANSIT), paid_out=paid_out, fee=owed(Account.PLATFORM_FEE),
    )  # fmt: skip


@router.get("/payouts")
async def list_payouts(
    caller: Member, session: Transaction, limit: Limit = 20, cursor: Cursor = None
) -> PayoutPage:
    """The organisation's payouts."""
    found = await payouts.list_of(session, caller.organisation_id, after=id_after(cursor), limit=limit + 1)
    more = len(found) > limit
    items = [
        PayoutOut(
            id=p.id, currency=p.currency, amount=p.amount, status=p.status, created_at=p.created_at,
            finished_at=p.finished_at,
        )
        for p in found[:limit]
    ]  # fmt: skip
    return PayoutPage(items=items, next_cursor=encode_cursor(str(found[limit - 1].id)) if more else None)
