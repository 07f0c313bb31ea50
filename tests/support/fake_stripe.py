"""Stripe in memory, with failures on request. It shares its contract test with the real client."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar
from uuid import UUID

from billing.clients.stripe import (
    CardRefused,
    ConnectAccount,
    OnboardingLink,
    PaymentMethod,
    StripeFailed,
    StripeInvoice,
    StripeItem,
    StripeRefused,
    StripeTransfer,
    StripeUnavailable,
)

T = TypeVar("T")
When = Literal["before", "after", "during"]
DECLINED = "pm_card_chargeCustomerFail"  # attaches, and declines every charge


@dataclass
class FakeStripe:
    """Everything it was asked to change, in `journal`. `failures` holds what is to fail next, by operation."""

    invoices: dict[str, StripeInvoice] = field(default_factory=dict)
    customers_of: dict[str, str] = field(default_factory=dict)  # customer by invoice
    items: dict[str, list[StripeItem]] = field(default_factory=dict)
    methods: dict[str, str] = field(default_factory=dict)  # default method by customer
    accounts: dict[str, ConnectAccount] = field(default_factory=dict)
    transfers: dict[str, StripeTransfer] = field(default_factory=dict)
    journal: list[tuple[str, str]] = field(default_factory=list)
    failures: dict[str, list[When]] = field(default_factory=dict)
    empty: bool = False  # no money for transfers
    _answers: dict[str, Any] = field(default_factory=dict)
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def fail(self, operation: str, *when: When) -> None:
        """The next calls fail: before or after taking effect, or inside, which Stripe repeats for that key."""
        self.failures.setdefault(operation, []).extend(when)

    def _once(self, operation: str, key: str, effect: Callable[[], T]) -> T:
        when = self.failures[operation].pop(0) if self.failures.get(operation) else None
        if when == "before":
            raise StripeUnavailable("Stripe does not answer.")
        if key not in self._answers:
            self._answers[key] = self._effect(operation, key, effect)
        if when == "during":
            self._answers[key] = StripeFailed("Stripe failed inside.")
        if when == "after":
            raise StripeUnavailable("Stripe does not answer.")
        answer = self._answers[key]
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    def _effect(self, operation: str, key: str, effect: Callable[[], T]) -> T | StripeRefused:
        try:
            result = effect()
        except StripeRefused as refusal:
            return refusal
        self.journal.append((operation, key))
        return result

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{next(self._numbers):06d}"

    def effects(self, operation: str) -> int:
        """How often something of that kind really happened."""
        return sum(1 for name, _ in self.journal if name == operation)

    async def create_customer(
        self, *, organisation_id: UUID, name: str | None, email: str | None, key: str
    ) -> str:
        return self._once("create_customer", key, lambda: self._id("cus"))

    async def attach_payment_method(
        self, customer_id: str, payment_method_id: str, *, key: str
    ) -> PaymentMethod:
        def effect() -> PaymentMethod:
            if payment_method_id == "pm_unknown":
                raise StripeRefused("resource_missing", "No such PaymentMethod.")
            self.methods[customer_id] = payment_method_id
            return PaymentMethod(payment_method_id, "visa", "4242")

        return self._once("attach_payment_method", key, effect)

    async def create_invoice(
        self, *, customer_id: str, currency: str, invoice_id: UUID, number: str, key: str
    ) -> StripeInvoice:
        def effect() -> StripeInvoice:
            made = StripeInvoice(self._id("in"), "draft", 0, 0, invoice_id)
            self.invoices[made.id], self.customers_of[made.id], self.items[made.id] = made, customer_id, []
            return made

        return self._once("create_invoice", key, effect)

    async def add_item(
        self, *, customer_id: str, stripe_invoice_id: str, line_id: UUID, currency: str, amount: int,
        description: str, key: str,
    ) -> StripeItem:  # fmt: skip
        def effect() -> StripeItem:
            draft = self._get(stripe_invoice_id)
            if draft.status != "draft":
                raise StripeRefused("invoice_not_editable", "The invoice is final.")
            item = StripeItem(self._id("ii"), amount, line_id)
            self.items[stripe_invoice_id].append(item)
            self.invoices[stripe_invoice_id] = replace(draft, total=draft.total + amount)
            return item

        return self._once("add_item", key, effect)

    async def finalize_invoice(self, stripe_invoice_id: str, *, key: str) -> StripeInvoice:
        return self._once("finalize_invoice", key, lambda: self._move(stripe_invoice_id, "draft", "open"))

    async def pay_invoice(self, stripe_invoice_id: str, *, key: str) -> StripeInvoice:
        def effect() -> StripeInvoice:
            method = self.methods.get(self.customers_of[stripe_invoice_id])
            if self._get(stripe_invoice_id).status == "paid":
                raise StripeRefused("invoice_already_paid", "Invoice is already paid.")
            if method is None:
                raise StripeRefused("missing", "There is no default payment method.")
            if method == DECLINED:
                raise CardRefused("card_declined", "Your card was declined.", "generic_decline")
            return self.pay(stripe_invoice_id)

        return self._once("pay_invoice", key, effect)

    def pay(self, stripe_invoice_id: str) -> StripeInvoice:
        """Somebody pays it, on whatever way."""
        paid = self._move(stripe_invoice_id, "open", "paid")
        moment = datetime(2026, 12, 1, 9, 30, tzinfo=UTC)
        self.invoices[paid.id] = replace(paid, amount_paid=paid.total, paid_at=moment)
        return self.invoices[paid.id]

    def _move(self, stripe_invoice_id: str, before: str, after: str) -> StripeInvoice:
        invoice = self._get(stripe_invoice_id)
        if invoice.status != before:
            raise StripeRefused("invoice_status", f"The invoice is {invoice.status}.")
        self.invoices[invoice.id] = replace(invoice, status=after)
        return self.invoices[invoice.id]

    def close(self, stripe_invoice_id: str, status: str) -> None:
        """Somebody voids it or gives it up, by hand."""
        self._move(stripe_invoice_id, "open", status)

    def _get(self, stripe_invoice_id: str) -> StripeInvoice:
        if stripe_invoice_id not in self.invoices:
            raise StripeRefused("resource_missing", f"No such invoice: {stripe_invoice_id}")
        return self.invoices[stripe_invoice_id]

    async def get_invoice(self, stripe_invoice_id: str) -> StripeInvoice:
        return self._get(stripe_invoice_id)

    async def find_invoice(self, customer_id: str, invoice_id: UUID) -> StripeInvoice | None:
        return next(
            (
                i
                for i in self.invoices.values()
                if i.invoice_id == invoice_id and self.customers_of[i.id] == customer_id
            ),
            None,
        )

    async def list_items(self, stripe_invoice_id: str) -> list[StripeItem]:
        return list(self.items[stripe_invoice_id])

    async def list_invoices(self) -> list[StripeInvoice]:
        return [i for i in self.invoices.values() if i.invoice_id is not None]

    async def create_connect_account(
        self, *, organisation_id: UUID, country: str, key: str
    ) -> ConnectAccount:
        def effect() -> ConnectAccount:
            if country == "ZZ":
                raise StripeRefused("country_unsupported", "Country ZZ is not supported.")
            made = ConnectAccount(
                self._id("acct"), charges_enabled=False, payouts_enabled=False, requirements=("iban",)
            )
            self.accounts[made.id] = made
            return made

        return self._once("create_connect_account", key, effect)

    def onboard(self, account_id: str) -> None:
        """The provider told Stripe everything."""
        self.accounts[account_id] = ConnectAccount(account_id, charges_enabled=True, payouts_enabled=True)

    async def get_connect_account(self, account_id: str) -> ConnectAccount:
        return self.accounts[account_id]

    async def create_onboarding_link(
        self, account_id: str, *, return_url: str, refresh_url: str
    ) -> OnboardingLink:
        return OnboardingLink(f"https://connect.test/{account_id}", datetime(2026, 11, 15, 12, 5, tzinfo=UTC))

    async def create_transfer(
        self, *, account_id: str, payout_id: UUID, currency: str, amount: int, key: str
    ) -> StripeTransfer:
        def effect() -> StripeTransfer:
            if self.empty:
                raise StripeRefused("balance_insufficient", "You have insufficient funds.")
            made = StripeTransfer(self._id("tr"), amount, currency, payout_id)
            self.transfers[made.id] = made
            return made

        return self._once("create_transfer", key, effect)

    async def find_transfer(self, payout_id: UUID) -> StripeTransfer | None:
        return next((t for t in self.transfers.values() if t.payout_id == payout_id), None)

    async def list_transfers(self) -> list[StripeTransfer]:
        return list(self.transfers.values())
