"""An organisation's invoices."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from billing.api.dependencies import OptionsDep, StripeDep, WorkerDatabase
from billing.clients.stripe import StripeUnavailable
from billing.db import invoices
from billing.domain.errors import CardDeclined, InvoiceNotFound, InvoiceNotPayable, PaymentFailed
from billing.domain.invoice import Invoice, InvoiceStatus, total_of
from billing.domain.lines import LineDraft
from billing.usecases.pay_invoice import pay_invoice
from billing.usecases.preview_invoice import preview_invoice
from common.http.auth import FinanceManager, Member
from common.http.clock import ClockDep
from common.http.errors import error_responses
from common.http.transaction import DatabaseDep, Transaction
from common.pagination import Cursor, Limit, encode_cursor, id_after

router = APIRouter(prefix="/v1/invoices", tags=["invoices"])


class LineOut(BaseModel):
    """A line. Amounts in minor units; `trace` is how the amount came about, step by step."""

    model_config = ConfigDict(populate_by_name=True)

    id: UUID | None = None
    kind: str
    subscription_id: UUID
    api_id: UUID
    plan_version_id: UUID
    description: str
    start: AwareDatetime = Field(serialization_alias="from")
    until: AwareDatetime
    quantity: int
    unit_price: str | None
    amount: int
    trace: list[dict[str, Any]]

    @classmethod
    def of(cls, draft: LineDraft, *, line_id: UUID | None = None) -> Self:
        """The line as it is shown."""
        return cls(
            id=line_id, kind=draft.kind, subscription_id=draft.subscription_id, api_id=draft.api_id,
            plan_version_id=draft.plan_version_id, description=draft.description, start=draft.during.start,
            until=draft.during.end, quantity=draft.quantity, unit_price=draft.unit_price, amount=draft.amount,
            trace=list(draft.trace),
        )  # fmt: skip


class InvoiceOut(BaseModel):
    """An invoice: the total is the sum of its lines, each rounded on its own."""

    id: UUID
    number: str | None
    organisation_id: UUID
    status: str
    currency: str
    until: AwareDatetime
    subtotal: int
    tax: int = 0
    total: int
    amount_due: int
    amount_paid: int
    issued_at: AwareDatetime | None
    paid_at: AwareDatetime | None
    lines: list[LineOut]

    @classmethod
    def of(cls, invoice: Invoice) -> Self:
        """The invoice as it is shown."""
        return cls(
            id=invoice.id, number=invoice.number, organisation_id=invoice.organisation_id, status=invoice.status,
            currency=invoice.currency, until=invoice.until, subtotal=invoice.total, total=invoice.total,
            amount_due=invoice.amount_due,
            amount_paid=invoice.total if invoice.status is InvoiceStatus.PAID else 0,
            issued_at=invoice.issued_at, paid_at=invoice.paid_at,
            lines=[LineOut.of(line.draft, line_id=line.id) for line in invoice.lines],
        )  # fmt: skip


class InvoicePage(BaseModel):
    """A page of invoices, the newest first."""

    items: list[InvoiceOut]
    next_cursor: str | None


class UpcomingInvoice(BaseModel):
    """What an invoice in this currency would say now."""

    currency: str
    total: int
    lines: list[LineOut]


class UpcomingOut(BaseModel):
    """An estimate: usage may still be on its way."""

    as_of: datetime
    items: list[UpcomingInvoice]


@router.get("")
async def list_invoices(
    caller: Member, session: Transaction, limit: Limit = 20, cursor: Cursor = None
) -> InvoicePage:
    """The organisation's invoices."""
    found = await invoices.list_of(session, caller.organisation_id, after=id_after(cursor), limit=limit + 1)
    more = len(found) > limit
    return InvoicePage(
        items=[InvoiceOut.of(invoice) for invoice in found[:limit]],
        next_cursor=encode_cursor(str(found[limit - 1].id)) if more else None,
    )


@router.get("/upcoming")
async def get_upcoming_invoice(caller: Member, session: Transaction, clock: ClockDep) -> UpcomingOut:
    """What a cut-off at this moment would invoice."""
    now = clock.now()
    by_currency = await preview_invoice(session, caller.organisation_id, now=now)
    items = [
        UpcomingInvoice(currency=currency, total=total_of(lines), lines=[LineOut.of(line) for line in lines])
        for currency, lines in by_currency.items()
    ]
    return UpcomingOut(as_of=now, items=items)


@router.get("/{invoice_id}", responses=error_responses(InvoiceNotFound))
async def get_invoice(invoice_id: UUID, _: Member, session: Transaction) -> InvoiceOut:
    """One invoice with its lines."""
    invoice = await invoices.get(session, invoice_id)
    if invoice.status is InvoiceStatus.DRAFT:
        raise InvoiceNotFound("This invoice is not issued yet.")
    return InvoiceOut.of(invoice)


@router.post(
    "/{invoice_id}/pay",
    responses=error_responses(
        InvoiceNotFound, InvoiceNotPayable, CardDeclined, PaymentFailed, StripeUnavailable
    ),
)
async def post_payment(
    invoice_id: UUID, *, caller: FinanceManager, db: DatabaseDep, worker_db: WorkerDatabase, stripe: StripeDep,
    clock: ClockDep, options: OptionsDep,
) -> InvoiceOut:  # fmt: skip
    """Pay with the default payment method. Paying a paid invoice again changes nothing."""
    async with db.begin(caller.scope) as session:
        invoice = await invoices.get(session, invoice_id)
    if invoice.organisation_id != caller.organisation_id or invoice.status is InvoiceStatus.DRAFT:
        raise InvoiceNotFound("There is no such invoice of your organisation.")
    return InvoiceOut.of(await pay_invoice(worker_db, stripe, clock, invoice_id, grace=options.grace))
