"""Invoices: states, lines and totals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from billing.domain.errors import IllegalTransition
from billing.domain.lines import LineDraft


class InvoiceStatus(StrEnum):
    """Where an invoice stands; lower case on the wire."""

    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    UNCOLLECTIBLE = "uncollectible"
    VOID = "void"


_NEXT: Mapping[InvoiceStatus, frozenset[InvoiceStatus]] = MappingProxyType(
    {
        InvoiceStatus.DRAFT: frozenset({InvoiceStatus.OPEN}),
        InvoiceStatus.OPEN: frozenset({InvoiceStatus.PAID, InvoiceStatus.UNCOLLECTIBLE, InvoiceStatus.VOID}),
        # A customer may still pay what was given up.
        InvoiceStatus.UNCOLLECTIBLE: frozenset({InvoiceStatus.PAID, InvoiceStatus.VOID}),
        InvoiceStatus.PAID: frozenset(),
        InvoiceStatus.VOID: frozenset(),
    }
)


@dataclass(frozen=True, slots=True)
class Line:
    """A line on an invoice: the draft, and how its amount divides."""

    id: UUID
    position: int
    draft: LineDraft
    fee: int

    @property
    def provider_share(self) -> int:
        """The provider's part of the amount."""
        return self.draft.amount - self.fee


@dataclass(frozen=True, slots=True)
class Invoice:
    """One consumer organisation's invoice in one currency for one cut-off."""

    id: UUID
    version: int
    organisation_id: UUID
    currency: str
    until: datetime
    status: InvoiceStatus
    total: int
    created_at: datetime
    run_id: UUID
    number: str | None = None
    issued_at: datetime | None = None
    paid_at: datetime | None = None
    closed_at: datetime | None = None
    stripe_invoice_id: str | None = None
    lines: tuple[Line, ...] = ()

    @property
    def amount_due(self) -> int:
        """What is still to be paid."""
        return 0 if self.status in (InvoiceStatus.PAID, InvoiceStatus.VOID) else self.total


def total_of(lines: Sequence[LineDraft]) -> int:
    """The sum of the printed lines, each rounded on its own before."""
    return sum(line.amount for line in lines)


def by_currency(lines: Sequence[LineDraft]) -> dict[str, list[LineDraft]]:
    """An invoice has one currency: the lines of each, in a stable order."""
    result: dict[str, list[LineDraft]] = {}
    for line in sorted(
        lines, key=lambda d: (d.currency, str(d.subscription_id), d.during.start, d.kind, d.series)
    ):
        result.setdefault(line.currency, []).append(line)
    return result


def issue(invoice: Invoice, *, number: str, now: datetime) -> Invoice:
    """The draft is final: it has its number, and is due."""
    return replace(_move(invoice, InvoiceStatus.OPEN), number=number, issued_at=now)


def pay(invoice: Invoice, *, paid_at: datetime) -> Invoice:
    """The money is here."""
    return replace(_move(invoice, InvoiceStatus.PAID), paid_at=paid_at)


def void(invoice: Invoice, *, now: datetime) -> Invoice:
    """It should not have been issued: nothing is due, and its postings are reversed."""
    return replace(_move(invoice, InvoiceStatus.VOID), closed_at=now)


def give_up(invoice: Invoice, *, now: datetime) -> Invoice:
    """It will probably never be paid. The receivable stays in the books until somebody writes it off."""
    return replace(_move(invoice, InvoiceStatus.UNCOLLECTIBLE), closed_at=now)


def may_become(invoice: Invoice, status: InvoiceStatus) -> bool:
    """The step is legal from where the invoice stands."""
    return status in _NEXT[invoice.status]


def _move(invoice: Invoice, status: InvoiceStatus) -> Invoice:
    if not may_become(invoice, status):
        raise IllegalTransition(
            f"A {invoice.status} invoice cannot become {status}.", invoice_id=str(invoice.id)
        )
    return replace(invoice, status=status, version=invoice.version + 1)
