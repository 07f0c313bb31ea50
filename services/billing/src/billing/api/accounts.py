"""How an organisation pays: where invoices go, and with what."""

from __future__ import annotations

from typing import Self

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from billing.api.dependencies import StripeDep, WorkerDatabase
from billing.clients.stripe import StripeUnavailable
from billing.db import accounts
from billing.db.accounts import Address, BillingAccount
from billing.domain.errors import CardDeclined, PaymentMethodRefused
from billing.usecases.attach_payment_method import attach_payment_method
from common.errors import PreconditionFailed
from common.http.auth import FinanceManager
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.etag import IfMatch, etag, require_match
from common.http.transaction import Transaction

router = APIRouter(prefix="/v1", tags=["billing account"])
_LINE = Field(min_length=1, max_length=200)


class AddressBody(BaseModel):
    """Where invoices go."""

    legal_name: str = _LINE
    email: str = Field(max_length=254, pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
    line1: str = _LINE
    line2: str | None = Field(default=None, max_length=200)
    postal_code: str = Field(min_length=1, max_length=20)
    city: str = _LINE
    country: str = Field(pattern="^[A-Z]{2}$")
    tax_id: str | None = Field(default=None, max_length=40)


class PaymentMethodOut(BaseModel):
    """A payment method, as far as it may be shown."""

    id: str
    brand: str | None
    last4: str | None


class BillingAccountOut(BaseModel):
    """An organisation's billing account."""

    standing: str
    address: AddressBody | None
    payment_method: PaymentMethodOut | None

    @classmethod
    def of(cls, account: BillingAccount | None, address: Address | None) -> Self:
        """The account as it is shown; one that never had to do with money is in good standing."""
        shown = {name: getattr(address, name) for name in AddressBody.model_fields} if address else None
        return cls.model_validate(
            {
                "standing": account.standing if account else "good",
                "address": shown,
                "payment_method": account.payment_method if account else None,
            }
        )


class PaymentMethodRequest(BaseModel):
    """The id that Stripe's own page made: card numbers never come here."""

    payment_method_id: str = Field(pattern="^pm_[A-Za-z0-9_]{1,100}$")


@router.get("/billing-account")
async def get_billing_account(
    caller: FinanceManager, session: Transaction, response: Response
) -> BillingAccountOut:
    """The organisation's billing account; its ETag is the address's."""
    account = await accounts.find(session, caller.organisation_id)
    address = await accounts.find_address(session, caller.organisation_id)
    response.headers["ETag"] = etag(address.version if address else 0)
    return BillingAccountOut.of(account, address)


@router.put("/billing-account", responses=error_responses(PreconditionFailed))
async def put_billing_account(
    body: AddressBody, *, caller: FinanceManager, session: Transaction, clock: ClockDep, response: Response,
    if_match: IfMatch = None,
) -> BillingAccountOut:  # fmt: skip
    """Invoices go there from now on."""
    present = await accounts.lock_address(session, caller.organisation_id)
    require_match(if_match, present.version if present else 0)
    wanted = Address(**body.model_dump())
    address = await accounts.put_address(session, caller.organisation_id, wanted, now=clock.now())
    response.headers["ETag"] = etag(address.version)
    return BillingAccountOut.of(await accounts.find(session, caller.organisation_id), address)


@router.post(
    "/payment-methods",
    status_code=201,
    responses=error_responses(CardDeclined, PaymentMethodRefused, StripeUnavailable),
)
async def post_payment_method(
    body: PaymentMethodRequest,
    caller: FinanceManager,
    worker_db: WorkerDatabase,
    stripe: StripeDep,
    clock: ClockDep,
) -> PaymentMethodOut:
    """Invoices are paid with this method from now on."""
    method = await attach_payment_method(
        worker_db, stripe, clock, caller.organisation_id, payment_method_id=body.payment_method_id
    )
    return PaymentMethodOut(id=method.id, brand=method.brand, last4=method.last4)
