"""Stripe as billing needs it: what it answers, how it fails, and the calls. Any implementation will do."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from common.errors import Conflict, Unavailable


class StripeUnavailable(Unavailable):
    """No answer, or one that says nothing: whether it took effect is not known. The same key may be sent again."""

    code = "STRIPE_UNAVAILABLE"


class StripeFailed(StripeUnavailable):
    """Stripe failed inside, after it took the key: it would repeat this answer. Look, then use another key."""


class StripeRefused(Conflict):
    """Stripe understood and refused; nothing happened. `reason` is Stripe's own code."""

    code = "STRIPE_REFUSED"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"Stripe refused this ({reason}): {message}")
        self.reason = reason
        self.message = message


class CardRefused(StripeRefused):
    """The bank refused the card; `decline_code` says why, as far as it says."""

    def __init__(self, reason: str, message: str, decline_code: str | None) -> None:
        super().__init__(reason, message)
        self.decline_code = decline_code


@dataclass(frozen=True, slots=True)
class StripeInvoice:
    """An invoice as Stripe has it. `invoice_id` is ours, from its metadata."""

    id: str
    status: str  # draft, open, paid, uncollectible, void
    total: int
    amount_paid: int
    invoice_id: UUID | None
    paid_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StripeItem:
    """A line of an invoice as Stripe has it. `line_id` is ours."""

    id: str
    amount: int
    line_id: UUID | None


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """A way to pay: never more than what may be shown."""

    id: str
    brand: str | None
    last4: str | None


@dataclass(frozen=True, slots=True)
class ConnectAccount:
    """A provider's account for payouts."""

    id: str
    charges_enabled: bool
    payouts_enabled: bool
    requirements: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class OnboardingLink:
    """Where a provider tells Stripe who they are."""

    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class StripeTransfer:
    """Money moved to a connected account. `payout_id` is ours."""

    id: str
    amount: int
    currency: str
    payout_id: UUID | None


class Stripe(Protocol):
    """Calls that change something take an idempotency key: the same key again has no second effect."""

    async def create_customer(
        self, *, organisation_id: UUID, name: str | None, email: str | None, key: str
    ) -> str:
        """A customer for the organisation; its id."""
        ...

    async def attach_payment_method(
        self, customer_id: str, payment_method_id: str, *, key: str
    ) -> PaymentMethod:
        """The method belongs to the customer and is what invoices are paid with."""
        ...

    async def create_invoice(
        self, *, customer_id: str, currency: str, invoice_id: UUID, number: str, key: str
    ) -> StripeInvoice:
        """An empty draft that Stripe neither fills nor collects by itself."""
        ...

    async def add_item(
        self, *, customer_id: str, stripe_invoice_id: str, line_id: UUID, currency: str, amount: int,
        description: str, key: str,
    ) -> StripeItem:  # fmt: skip
        """One line of our rounded amount, never a quantity times a price."""
        ...

    async def finalize_invoice(self, stripe_invoice_id: str, *, key: str) -> StripeInvoice:
        """The draft is open."""
        ...

    async def pay_invoice(self, stripe_invoice_id: str, *, key: str) -> StripeInvoice:
        """The customer's default method is charged; CardRefused when the bank says no."""
        ...

    async def get_invoice(self, stripe_invoice_id: str) -> StripeInvoice:
        """The invoice as it stands."""
        ...

    async def find_invoice(self, customer_id: str, invoice_id: UUID) -> StripeInvoice | None:
        """The customer's invoice that carries our id."""
        ...

    async def list_items(self, stripe_invoice_id: str) -> list[StripeItem]:
        """The lines of a draft."""
        ...

    async def list_invoices(self) -> list[StripeInvoice]:
        """All invoices that carry an id of ours."""
        ...

    async def create_connect_account(
        self, *, organisation_id: UUID, country: str, key: str
    ) -> ConnectAccount:
        """A connected account for the provider."""
        ...

    async def get_connect_account(self, account_id: str) -> ConnectAccount:
        """The account as it stands."""
        ...

    async def create_onboarding_link(
        self, account_id: str, *, return_url: str, refresh_url: str
    ) -> OnboardingLink:
        """A link of short life."""
        ...

    async def create_transfer(
        self, *, account_id: str, payout_id: UUID, currency: str, amount: int, key: str
    ) -> StripeTransfer:
        """Money is moved from our balance to the account."""
        ...

    async def find_transfer(self, payout_id: UUID) -> StripeTransfer | None:
        """The transfer that carries our id."""
        ...

    async def list_transfers(self) -> list[StripeTransfer]:
        """All transfers that carry an id of ours."""
        ...
