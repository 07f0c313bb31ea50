from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.invoice import Invoice
from billing.domain.ledger import (
    Account,
    Entry,
    Posting,
    balance,
    invoice_issued,
    invoice_paid,
    invoice_voided,
    transfer_refused,
    transfer_sent,
    transfer_started,
)
from billing.domain.payouts import split
from tests.billing.factories import CONSUMER, LAWS, PROVIDER, a_line, an_id, an_invoice

OTHER = an_id(0xB1)


def sums(*postings: Posting) -> dict[str, int]:
    result: dict[str, int] = {}
    for posting in postings:
        for entry in posting.entries:
            result[entry.account] = result.get(entry.account, 0) + entry.amount
    return {account: amount for account, amount in result.items() if amount}


@st.composite
def invoices(draw: st.DrawFn) -> Invoice:
    amounts = draw(st.lists(st.integers(-10_000, 10**7), min_size=1, max_size=8).filter(lambda a: sum(a) > 0))
    owners = draw(st.lists(st.sampled_from([PROVIDER, OTHER]), min_size=len(amounts), max_size=len(amounts)))
    return an_invoice(
        *(
            a_line(amount, position=n, provider_organisation_id=owner)
            for n, (amount, owner) in enumerate(zip(amounts, owners, strict=True), start=1)
        )
    )


def test_an_issued_invoice_is_a_receivable_and_its_shares_are_pending() -> None:
    posting = invoice_issued(an_invoice(a_line(1900)))
    assert set(posting.entries) == {
        Entry(Account.RECEIVABLE, CONSUMER, "EUR", 1900),
        Entry(Account.PROVIDER_PENDING, PROVIDER, "EUR", -1843),
        Entry(Account.FEE_PENDING, PROVIDER, "EUR", -57),
    }


def test_a_paid_invoice_leaves_cash_the_providers_share_and_the_fee() -> None:
    invoice = an_invoice(a_line(1900), a_line(563, position=2))
    assert sums(invoice_issued(invoice), invoice_paid(invoice)) == {
        "cash": 2463, "provider_available": -(1843 + 546), "platform_fee": -(57 + 17),
    }  # fmt: skip


def test_a_transfer_takes_the_money_through_transit_to_the_bank() -> None:
    started, sent = (
        transfer_started(an_id(9), PROVIDER, "EUR", 500),
        transfer_sent(an_id(9), PROVIDER, "EUR", 500),
    )
    assert sums(started, sent) == {"provider_available": 500, "cash": -500}
    assert sums(started, transfer_refused(an_id(9), PROVIDER, "EUR", 500)) == {}


def test_a_posting_that_does_not_balance_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="balance"):
        Posting("x", "x", (Entry(Account.CASH, None, "EUR", 1), Entry(Account.RECEIVABLE, None, "EUR", -2)))
    with pytest.raises(ValueError, match="balance"):  # two currencies do not make up for each other
        Posting("x", "x", (Entry(Account.CASH, None, "EUR", 1), Entry(Account.CASH, None, "USD", -1)))


@LAWS
@given(invoice=invoices())
def test_every_posting_of_an_invoice_sums_to_zero_per_currency(invoice: Invoice) -> None:
    for posting in (invoice_issued(invoice), invoice_paid(invoice), invoice_voided(invoice)):
        assert balance(posting.entries) == {"EUR": 0}


@LAWS
@given(invoice=invoices())
def test_voiding_undoes_issuing(invoice: Invoice) -> None:
    assert sums(invoice_issued(invoice), invoice_voided(invoice)) == {}


@LAWS
@given(amount=st.integers(-(10**9), 10**9), percent=st.decimals(min_value=0, max_value=100, places=2))
def test_fee_and_share_are_the_whole_amount_and_a_credit_mirrors_its_charge(
    amount: int, percent: Decimal
) -> None:
    parts = split(amount, fee_percent=percent)
    assert parts.fee + parts.provider == amount
    assert split(-amount, fee_percent=percent).fee == -parts.fee


def test_the_fee_is_rounded_half_up_on_each_line() -> None:
    assert [split(a, fee_percent=Decimal(3)).fee for a in (16, 17, 50, 1900)] == [0, 1, 2, 57]
