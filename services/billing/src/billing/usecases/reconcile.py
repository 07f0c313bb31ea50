"""Ledger, invoices, payouts and Stripe, compared both ways."""

from __future__ import annotations

from dataclasses import dataclass

from billing.clients.stripe import Stripe
from billing.db import invoices, ledger, payouts
from billing.domain.reconciliation import Books, differences_in_books, differences_with_stripe
from billing.metrics import RECONCILE_DIFFERENCES
from common.db import Database


@dataclass(frozen=True, slots=True)
class Report:
    """What was compared, and what does not agree."""

    invoices: int
    postings: int
    payouts: int
    differences: tuple[str, ...]


async def reconcile(db: Database, stripe: Stripe) -> Report:
    """Every difference between our books and Stripe's objects, in words; none means that they agree. Changes nothing.

    What happens between the two readings may show as a difference: only one that stays is one.
    """
    made = await stripe.list_invoices()
    moved = await stripe.list_transfers()
    async with db.begin() as session:
        books = Books(
            invoices=tuple(await invoices.all_issued(session)),
            postings=tuple(
                (p.key, p.debit, p.balance) for p in await ledger.all_posted(session)
            ),
            payouts=tuple(
                (p.id, p.status, p.amount, p.currency, p.stripe_transfer_id) for p in await payouts.all_of_them(session)
            ),
        )  # fmt: skip
    found = differences_in_books(books)
    found += differences_with_stripe(
        books,
        invoices={i.id: (i.invoice_id, i.status, i.total) for i in made},
        transfers={t.id: (t.payout_id, t.amount, t.currency) for t in moved},
    )
    RECONCILE_DIFFERENCES.set(len(found))
    return Report(len(books.invoices), len(books.postings), len(books.payouts), tuple(found))
