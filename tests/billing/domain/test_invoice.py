from __future__ import annotations

import pytest

from billing.domain.errors import IllegalTransition
from billing.domain.invoice import InvoiceStatus, by_currency, give_up, issue, pay, total_of, void
from tests.billing.factories import a_line, an_invoice, at


def test_the_total_is_the_sum_of_the_printed_lines() -> None:
    assert total_of([a_line(33).draft, a_line(34, position=2).draft, a_line(-5, position=3).draft]) == 62


def test_an_invoice_has_one_currency() -> None:
    found = by_currency([a_line(1).draft, a_line(2, currency="USD").draft, a_line(3).draft])
    assert {currency: [d.amount for d in lines] for currency, lines in found.items()} == {
        "EUR": [1, 3],
        "USD": [2],
    }


def test_issued_it_is_due_and_paid_it_is_not() -> None:
    open_invoice = issue(an_invoice(), number="MP-000001", now=at("12-01"))
    paid = pay(open_invoice, paid_at=at("12-02"))
    assert (open_invoice.status, open_invoice.amount_due, open_invoice.version) == ("open", 1900, 2)
    assert (paid.status, paid.amount_due, paid.version, paid.paid_at) == ("paid", 0, 3, at("12-02"))


def test_what_was_given_up_may_still_be_paid_or_voided() -> None:
    lost = give_up(issue(an_invoice(), number="MP-1", now=at("12-01")), now=at("12-30"))
    assert pay(lost, paid_at=at("12-31")).status is InvoiceStatus.PAID
    assert void(lost, now=at("12-31")).status is InvoiceStatus.VOID


@pytest.mark.parametrize("status", [InvoiceStatus.PAID, InvoiceStatus.VOID, InvoiceStatus.OPEN])
def test_an_invoice_is_issued_once(status: InvoiceStatus) -> None:
    with pytest.raises(IllegalTransition):
        issue(an_invoice(status=status), number="MP-2", now=at("12-01"))


def test_a_draft_cannot_be_paid_and_a_void_one_neither() -> None:
    for status in (InvoiceStatus.DRAFT, InvoiceStatus.VOID):
        with pytest.raises(IllegalTransition):
            pay(an_invoice(status=status), paid_at=at("12-02"))
