"""Stripe over its official library. The library's types and errors stop here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import stripe

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
from common.breaker import Breaker

_TIMEOUT_SECONDS = 10.0
# The library waits with jitter between them, and repeats only what may be repeated under one key.
_NETWORK_RETRIES = 2
_PAGE = 100


class StripeGateway:
    """One Stripe account. `api_base` names another server than Stripe's, for development and tests."""

    def __init__(
        self, secret_key: str, *, api_base: str | None = None, timeout_seconds: float = _TIMEOUT_SECONDS
    ) -> None:
        base: Any = {"base_addresses": {"api": api_base.rstrip("/")}} if api_base else {}
        self._http = stripe.HTTPXClient(timeout=timeout_seconds)
        client = stripe.StripeClient(
            secret_key,
            http_client=self._http,
            max_network_retries=_NETWORK_RETRIES,
            **base,
        )
        self._v1 = client.v1
        self._breaker = Breaker(failures=5, reset_seconds=10)

    async def close(self) -> None:
        """All connections are closed."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    @contextmanager
    def _call(self) -> Iterator[None]:
        with self._breaker.guard(on=StripeUnavailable), _errors():
            yield

    async def create_customer(
        self, *, organisation_id: UUID, name: str | None, email: str | None, key: str
    ) -> str:
        """A customer for the organisation; its id."""
        params: Any = {"metadata": {"organisation_id": str(organisation_id)}}
        params |= {k: v for k, v in (("name", name), ("email", email)) if v}
        with self._call():
            customer = await self._v1.customers.create_async(params, {"idempotency_key": key})
        return customer.id

    async def attach_payment_method(
        self, customer_id: str, payment_method_id: str, *, key: str
    ) -> PaymentMethod:
        """The method belongs to the customer and is what invoices are paid with."""
        with self._call():
            method = await self._v1.payment_methods.attach_async(
                payment_method_id, {"customer": customer_id}, {"idempotency_key": key}
            )
            default: Any = {"invoice_settings": {"default_payment_method": method.id}}
            await self._v1.customers.update_async(customer_id, default, {"idempotency_key": f"{key}:default"})
        card = getattr(method, "card", None)
        return PaymentMethod(method.id, card.brand if card else None, card.last4 if card else None)

    async def create_invoice(
        self, *, customer_id: str, currency: str, invoice_id: UUID, number: str, key: str
    ) -> StripeInvoice:
        """An empty draft that Stripe neither fills nor collects by itself."""
        params: Any = {
            "customer": customer_id, "currency": currency.lower(), "auto_advance": False,
            "collection_method": "charge_automatically", "pending_invoice_items_behavior": "exclude",
            "metadata": {"invoice_id": str(invoice_id), "number": number},
        }  # fmt: skip
        with self._call():
            return _invoice(await self._v1.invoices.create_async(params, {"idempotency_key": key}))

    async def add_item(
        self, *, customer_id: str, stripe_invoice_id: str, line_id: UUID, currency: str, amount: int,
        description: str, key: str,
    ) -> StripeItem:  # fmt: skip
        """One line of our rounded amount, never a quantity times a price."""
        params: Any = {
            "customer": customer_id, "invoice": stripe_invoice_id, "currency": currency.lower(), "amount": amount,
            "description": description, "metadata": {"line_id": str(line_id)},
        }  # fmt: skip
        with self._call():
            item = await self._v1.invoice_items.create_async(params, {"idempotency_key": key})
        return StripeItem(item.id, item.amount, line_id)

    async def finalize_invoice(self, stripe_invoice_id: str, *, key: str) -> StripeInvoice:
        """The draft is open."""
        params: Any = {"auto_advance": False}
        with self._call():
            return _invoice(
                await self._v1.invoices.finalize_invoice_async(
                    stripe_invoice_id, params, {"idempotency_key": key}
                )
            )

    async def pay_invoice(self, stripe_invoice_id: str, *, key: str) -> StripeInvoice:
        """The customer's default method is charged; CardRefused when the bank says no."""
        with self._call():
            return _invoice(
                await self._v1.invoices.pay_async(stripe_invoice_id, {}, {"idempotency_key": key})
            )

    async def get_invoice(self, stripe_invoice_id: str) -> StripeInvoice:
        """The invoice as it stands."""
        with self._call():
            return _invoice(await self._v1.invoices.retrieve_async(stripe_invoice_id))

    async def find_invoice(self, customer_id: str, invoice_id: UUID) -> StripeInvoice | None:
        """The customer's invoice that carries our id."""
        async for found in self._invoices({"customer": customer_id}):
            if found.invoice_id == invoice_id:
                return found
        return None

    async def list_items(self, stripe_invoice_id: str) -> list[StripeItem]:
        """The lines of a draft."""
        pages = self._pages(self._v1.invoice_items, {"invoice": stripe_invoice_id})
        return [StripeItem(item.id, item.amount, _our_id(item, "line_id")) async for item in pages]

    async def list_invoices(self) -> list[StripeInvoice]:
        """All invoices that carry an id of ours."""
        return [invoice async for invoice in self._invoices({}) if invoice.invoice_id is not None]

    async def create_connect_account(
        self, *, organisation_id: UUID, country: str, key: str
    ) -> ConnectAccount:
        """A connected account for the provider."""
        params: Any = {
            "type": "express", "country": country, "capabilities": {"transfers": {"requested": True}},
            "metadata": {"organisation_id": str(organisation_id)},
        }  # fmt: skip
        with self._call():
            return _account(await self._v1.accounts.create_async(params, {"idempotency_key": key}))

    async def get_connect_account(self, account_id: str) -> ConnectAccount:
        """The account as it stands."""
        with self._call():
            return _account(await self._v1.accounts.retrieve_async(account_id))

    async def create_onboarding_link(
        self, account_id: str, *, return_url: str, refresh_url: str
    ) -> OnboardingLink:
        """A link of short life."""
        params: Any = {
            "account": account_id, "type": "account_onboarding", "return_url": return_url, "refresh_url": refresh_url,
        }  # fmt: skip
        with self._call():
            link = await self._v1.account_links.create_async(params)
        return OnboardingLink(link.url, datetime.fromtimestamp(link.expires_at, UTC))

    async def create_transfer(
        self, *, account_id: str, payout_id: UUID, currency: str, amount: int, key: str
    ) -> StripeTransfer:
        """Money is moved from our balance to the account."""
        params: Any = {
            "destination": account_id, "currency": currency.lower(), "amount": amount,
            "transfer_group": str(payout_id), "metadata": {"payout_id": str(payout_id)},
        }  # fmt: skip
        with self._call():
            return _transfer(await self._v1.transfers.create_async(params, {"idempotency_key": key}))

    async def find_transfer(self, payout_id: UUID) -> StripeTransfer | None:
        """The transfer that carries our id."""
        async for found in self._pages(self._v1.transfers, {"transfer_group": str(payout_id)}):
            if _our_id(found, "payout_id") == payout_id:
                return _transfer(found)
        return None

    async def list_transfers(self) -> list[StripeTransfer]:
        """All transfers that carry an id of ours."""
        found = [_transfer(item) async for item in self._pages(self._v1.transfers, {})]
        return [transfer for transfer in found if transfer.payout_id is not None]

    async def _invoices(self, params: dict[str, Any]) -> AsyncIterator[StripeInvoice]:
        async for item in self._pages(self._v1.invoices, params):
            yield _invoice(item)

    async def _pages(self, resource: Any, params: dict[str, Any]) -> AsyncIterator[Any]:
        after: dict[str, Any] = {}
        while True:
            with self._call():
                page = await resource.list_async({"limit": _PAGE} | params | after)
            for item in page.data:
                yield item
            if not page.has_more:
                return
            after = {"starting_after": page.data[-1].id}


@contextmanager
def _errors() -> Iterator[None]:
    """The library's errors as ours: refused, or unknown whether it took effect."""
    try:
        yield
    except stripe.CardError as error:
        code = error.code or "card_declined"
        raise CardRefused(code, _message(error), _decline_code(error)) from error
    except (stripe.InvalidRequestError, stripe.IdempotencyError) as error:
        if error.http_status == 409:  # the same key is being processed at this moment
            raise StripeUnavailable("Stripe is still busy with the same request; try again.") from error
        raise StripeRefused(error.code or "invalid_request", _message(error)) from error
    except stripe.APIConnectionError as error:
        raise StripeUnavailable("Stripe does not answer; try again later.") from error
    except stripe.StripeError as error:
        if error.http_status is not None and error.http_status >= 500:
            raise StripeFailed("Stripe failed inside; try again later.") from error
        raise StripeUnavailable(
            "Stripe does not take our requests at the moment; try again later."
        ) from error


def _message(error: stripe.StripeError) -> str:
    return error.user_message or str(error)


def _decline_code(error: stripe.StripeError) -> str | None:
    body: Any = error.json_body or {}
    code: str | None = body.get("error", {}).get("decline_code")
    return code


def _our_id(item: Any, name: str) -> UUID | None:
    value = item.metadata.to_dict().get(name) if item.metadata is not None else None
    try:
        return None if value is None else UUID(value)
    except ValueError:
        return None


def _invoice(item: Any) -> StripeInvoice:
    paid = item.status_transitions.paid_at if getattr(item, "status_transitions", None) else None
    return StripeInvoice(
        id=item.id, status=item.status, total=item.total, amount_paid=item.amount_paid,
        invoice_id=_our_id(item, "invoice_id"), paid_at=datetime.fromtimestamp(paid, UTC) if paid else None,
    )  # fmt: skip


def _account(item: Any) -> ConnectAccount:
    due = getattr(getattr(item, "requirements", None), "currently_due", None) or []
    return ConnectAccount(item.id, bool(item.charges_enabled), bool(item.payouts_enabled), tuple(due))


def _transfer(item: Any) -> StripeTransfer:
    return StripeTransfer(item.id, item.amount, item.currency.upper(), _our_id(item, "payout_id"))
