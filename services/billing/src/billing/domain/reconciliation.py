"""What must agree between invoices, ledger, payouts and Stripe's objects; a disagreement is a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from billing.domain.invoice import Invoice, InvoiceStatus

_AT_STRIPE = {
    InvoiceStatus.OPEN: "open",
    InvoiceStatus.PAID: "paid",
    InvoiceStatus.VOID: "void",
    InvoiceStatus.UNCOLLECTIBLE: "uncollectible",
}


@dataclass(frozen=True, slots=True)
class Books:
    """Our side, whole."""

    invoices: Sequence[Invoice]
    postings: Sequence[tuple[str, int, int]]  # key, debit, balance
    payouts: Sequence[tuple[UUID, str, int, str, str | None]]  # id, status, amount, currency, transfer


def differences_in_books(books: Books) -> list[str]:
    """Where our invoices and payouts and our ledger disagree."""
    booked = {key: debit for key, debit, _ in books.postings}
    found = [f"posting {key} does not balance" for key, _, balance in books.postings if balance != 0]
    expected: dict[str, int] = {}
    for invoice in books.invoices:
        if invoice.total != sum(line.draft.amount for line in invoice.lines):
            found.append(f"invoice {invoice.number} is not the sum of its lines")
        expected |= dict.fromkeys(_invoice_keys(invoice), invoice.total)
    for payout_id, status, amount, _, _ in books.payouts:
        expected[f"transfer:{payout_id}:started"] = amount
        if status != "started":
            expected[f"transfer:{payout_id}:{'sent' if status == 'paid' else 'refused'}"] = amount
    found += [f"{key} is missing in the ledger" for key in expected if key not in booked]
    found += [f"posting {key} belongs to nothing" for key in booked if key not in expected]
    return found


def differences_with_stripe(
    books: Books,
    *,
    invoices: Mapping[str, tuple[UUID | None, str, int]],
    transfers: Mapping[str, tuple[UUID | None, int, str]],
) -> list[str]:
    """Where our invoices and payouts and Stripe's disagree; what is still on its way there is not a difference."""
    found = []
    ours = {i.stripe_invoice_id: i for i in books.invoices if i.stripe_invoice_id}
    waiting = {i.id for i in books.invoices if i.stripe_invoice_id is None}
    for stripe_id, (invoice_id, status, total) in invoices.items():
        invoice = ours.get(stripe_id)
        if invoice is None:
            if invoice_id not in waiting:
                found.append(f"Stripe's invoice {stripe_id} is none of ours")
            continue
        on_its_way = status == "draft" and invoice.status is InvoiceStatus.OPEN
        if status != _AT_STRIPE.get(invoice.status) and not on_its_way:
            found.append(f"invoice {invoice.number} is {invoice.status} here and {status} at Stripe")
        if total != invoice.total and not on_its_way:
            found.append(f"invoice {invoice.number} is {invoice.total} here and {total} at Stripe")
    found += [f"invoice {i.number} is not at Stripe" for key, i in ours.items() if key not in invoices]
    sent = {transfer: payout for payout in books.payouts if (transfer := payout[4])}
    under_way = {payout[0] for payout in books.payouts if payout[1] == "started"}
    for transfer_id, (payout_id, amount, currency) in transfers.items():
        payout = sent.get(transfer_id)
        if payout is None:
            if payout_id not in under_way:
                found.append(f"Stripe's transfer {transfer_id} is none of ours")
        elif (amount, currency) != (payout[2], payout[3]):
            found.append(
                f"payout {payout[0]} is {payout[2]} {payout[3]} here and {amount} {currency} at Stripe"
            )
    found += [f"payout {payout[0]} is not at Stripe" for key, payout in sent.items() if key not in transfers]
    return found


def _invoice_keys(invoice: Invoice) -> list[str]:
    keys = [f"invoice:{invoice.id}:issued"]
    if invoice.status is InvoiceStatus.PAID:
        keys.append(f"invoice:{invoice.id}:paid")
    if invoice.status is InvoiceStatus.VOID:
        keys.append(f"invoice:{invoice.id}:voided")
    return keys
