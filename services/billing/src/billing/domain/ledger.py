"""Double entry: postings as values. Debits are positive, credits negative, and every posting sums to zero."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from billing.domain.invoice import Invoice


class Account(StrEnum):
    """The chart of accounts. Where an organisation stands behind an entry, the entry names it."""

    RECEIVABLE = "receivable"  # what consumers owe us (the consumer)
    CASH = "cash"  # our balance at Stripe
    PROVIDER_PENDING = "provider_pending"  # providers' part of invoices not paid yet (the provider)
    PROVIDER_AVAILABLE = "provider_available"  # what we owe providers now (the provider)
    TRANSFER_IN_TRANSIT = "transfer_in_transit"  # on its way to a provider (the provider)
    FEE_PENDING = "fee_pending"  # our part of invoices not paid yet (the provider whose sale it was)
    PLATFORM_FEE = "platform_fee"  # our income (the provider whose sale it was)


@dataclass(frozen=True, slots=True)
class Entry:
    """One side of a posting: minor units of `currency`, positive on the debit side."""

    account: Account
    organisation_id: UUID | None
    currency: str
    amount: int


@dataclass(frozen=True, slots=True)
class Posting:
    """What happened once: `key` is unique for ever, so that telling it twice books it once."""

    key: str
    kind: str
    entries: tuple[Entry, ...]
    invoice_id: UUID | None = None
    payout_id: UUID | None = None

    def __post_init__(self) -> None:
        if any(balance(self.entries).values()) or len(self.entries) < 2:
            raise ValueError(f"posting {self.key} does not balance")


def balance(entries: Iterable[Entry]) -> dict[str, int]:
    """The sum of `entries` per currency; zero everywhere for a whole ledger."""
    sums: dict[str, int] = {}
    for entry in entries:
        sums[entry.currency] = sums.get(entry.currency, 0) + entry.amount
    return sums


def invoice_issued(invoice: Invoice) -> Posting:
    """The consumer owes the total; of each line the provider's share and our fee are pending."""
    entries = [Entry(Account.RECEIVABLE, invoice.organisation_id, invoice.currency, invoice.total)]
    entries += _shares(invoice, Account.PROVIDER_PENDING, Account.FEE_PENDING, sign=-1)
    return _posting(invoice, "issued", entries)


def invoice_paid(invoice: Invoice) -> Posting:
    """Cash against the receivable; shares and fees become available and earned."""
    currency = invoice.currency
    entries = [
        Entry(Account.CASH, None, currency, invoice.total),
        Entry(Account.RECEIVABLE, invoice.organisation_id, currency, -invoice.total),
    ]
    entries += _shares(invoice, Account.PROVIDER_PENDING, Account.FEE_PENDING, sign=1)
    entries += _shares(invoice, Account.PROVIDER_AVAILABLE, Account.PLATFORM_FEE, sign=-1)
    return _posting(invoice, "paid", entries)


def invoice_voided(invoice: Invoice) -> Posting:
    """What issuing had booked, the other way round."""
    entries = [Entry(Account.RECEIVABLE, invoice.organisation_id, invoice.currency, -invoice.total)]
    entries += _shares(invoice, Account.PROVIDER_PENDING, Account.FEE_PENDING, sign=1)
    return _posting(invoice, "voided", entries)


def transfer_started(payout_id: UUID, provider_id: UUID, currency: str, amount: int) -> Posting:
    """The provider's money is set aside before Stripe is asked, so that it cannot be sent twice."""
    return _transfer("started", payout_id, provider_id, currency, amount,
                     debit=Account.PROVIDER_AVAILABLE, credit=Account.TRANSFER_IN_TRANSIT)  # fmt: skip


def transfer_sent(payout_id: UUID, provider_id: UUID, currency: str, amount: int) -> Posting:
    """Stripe has moved it to the provider's account."""
    return _transfer("sent", payout_id, provider_id, currency, amount,
                     debit=Account.TRANSFER_IN_TRANSIT, credit=Account.CASH)  # fmt: skip


def transfer_refused(payout_id: UUID, provider_id: UUID, currency: str, amount: int) -> Posting:
    """Stripe did not move it: it is available again."""
    return _transfer("refused", payout_id, provider_id, currency, amount,
                     debit=Account.TRANSFER_IN_TRANSIT, credit=Account.PROVIDER_AVAILABLE)  # fmt: skip


def _transfer(
    kind: str,
    payout_id: UUID,
    provider_id: UUID,
    currency: str,
    amount: int,
    *,
    debit: Account,
    credit: Account,
) -> Posting:
    def entry(account: Account, value: int) -> Entry:
        return Entry(account, None if account is Account.CASH else provider_id, currency, value)

    return Posting(
        key=f"transfer:{payout_id}:{kind}",
        kind=f"transfer_{kind}",
        entries=(entry(debit, amount), entry(credit, -amount)),
        payout_id=payout_id,
    )


def _shares(invoice: Invoice, provider: Account, fee: Account, *, sign: int) -> list[Entry]:
    entries = []
    for line in invoice.lines:
        owner = line.draft.provider_organisation_id
        entries.append(Entry(provider, owner, invoice.currency, sign * line.provider_share))
        entries.append(Entry(fee, owner, invoice.currency, sign * line.fee))
    return entries


def _posting(invoice: Invoice, kind: str, entries: Sequence[Entry]) -> Posting:
    return Posting(
        key=f"invoice:{invoice.id}:{kind}",
        kind=f"invoice_{kind}",
        entries=tuple(_merged(entries)),
        invoice_id=invoice.id,
    )


def _merged(entries: Sequence[Entry]) -> list[Entry]:
    """One entry per account and organisation, none of zero, in a stable order."""
    sums: dict[tuple[Account, UUID | None, str], int] = {}
    for entry in entries:
        key = (entry.account, entry.organisation_id, entry.currency)
        sums[key] = sums.get(key, 0) + entry.amount
    return [
        Entry(account, owner, currency, amount)
        for (account, owner, currency), amount in sums.items()
        if amount
    ]
