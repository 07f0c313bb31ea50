"""Stripe's test cards: which payment method stands for which fate."""

from dataclasses import dataclass
from typing import Any

from devstack.stripe.call import Call
from devstack.stripe.errors import ApiError, resource_missing
from devstack.stripe.store import Json


@dataclass(frozen=True, slots=True)
class Card:
    """A test card. `declines_attach`: it cannot even be saved to a customer."""

    brand: str
    last4: str
    code: str | None = None
    decline_code: str | None = None
    declines_attach: bool = True


_MESSAGES = {
    "card_declined": "Your card was declined.",
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
    "authentication_required": "Your card was declined. This transaction requires authentication.",
}
_INSUFFICIENT_FUNDS = "Your card has insufficient funds."


def _declined(last4: str, decline_code: str, *, code: str = "card_declined", attach: bool = True) -> Card:
    return Card("visa", last4, code, decline_code, declines_attach=attach)


TEST_CARDS = {
    "pm_card_visa": Card("visa", "4242"),
    "pm_card_visa_debit": Card("visa", "5556"),
    "pm_card_mastercard": Card("mastercard", "4444"),
    "pm_card_amex": Card("amex", "8431"),
    "pm_card_de": Card("visa", "0016"),
    "pm_card_bypassPending": Card("visa", "0077"),
    "pm_card_chargeCustomerFail": _declined("0341", "generic_decline", attach=False),
    "pm_card_chargeDeclined": _declined("0002", "generic_decline"),
    "pm_card_visa_chargeDeclined": _declined("0002", "generic_decline"),
    "pm_card_chargeDeclinedInsufficientFunds": _declined("9995", "insufficient_funds"),
    "pm_card_visa_chargeDeclinedInsufficientFunds": _declined("9995", "insufficient_funds"),
    "pm_card_chargeDeclinedLostCard": _declined("9987", "lost_card"),
    "pm_card_chargeDeclinedStolenCard": _declined("9979", "stolen_card"),
    "pm_card_chargeDeclinedExpiredCard": _declined("0069", "expired_card", code="expired_card"),
    "pm_card_chargeDeclinedIncorrectCvc": _declined("0127", "incorrect_cvc", code="incorrect_cvc"),
    "pm_card_chargeDeclinedProcessingError": _declined("0119", "processing_error", code="processing_error"),
    "pm_card_authenticationRequired": _declined(
        "3184", "authentication_required", code="authentication_required", attach=False
    ),
}
TOKENS = {
    "tok_visa": "pm_card_visa",
    "tok_mastercard": "pm_card_mastercard",
    "tok_amex": "pm_card_amex",
    "tok_bypassPending": "pm_card_bypassPending",
    "tok_chargeCustomerFail": "pm_card_chargeCustomerFail",
    "tok_chargeDeclined": "pm_card_chargeDeclined",
}


def new_payment_method(call: Call, test_id: str, *, metadata: dict[str, str] | None = None) -> Json:
    """A payment method of its own made from one of Stripe's test ids."""
    card = TEST_CARDS[test_id]
    details = {
        "brand": card.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": "DE" if card.last4 == "0016" else "US",
        "display_brand": card.brand,
        "exp_month": 12,
        "exp_year": 2034,
        "fingerprint": f"devstack{card.last4}",
        "funding": "debit" if card.last4 == "5556" else "credit",
        "last4": card.last4,
    }
    billing = {"address": None, "email": None, "name": None, "phone": None, "tax_id": None}
    fields = {
        "allow_redisplay": "unspecified",
        "billing_details": billing,
        "card": details,
        "customer": None,
        "metadata": metadata or {},
        "type": "card",
    }
    return call.create("pm", "payment_method", fields)


def resolve_payment_method(call: Call, name: str, *, param: str = "payment_method") -> Json:
    """The payment method of that id; a test id becomes a new one."""
    if name in TEST_CARDS:
        return new_payment_method(call, name)
    if name.startswith("pm_card_"):
        raise resource_missing("PaymentMethod", name, param)
    return call.get("payment_method", name, param=param)


def card_of(payment_method: Json) -> Card:
    last4 = payment_method["card"]["last4"]
    return next(card for card in TEST_CARDS.values() if card.last4 == last4)


def decline(card: Card, **more: Any) -> ApiError:
    """The 402 that says why; what was written about the attempt stays."""
    assert card.code is not None
    message = _INSUFFICIENT_FUNDS if card.decline_code == "insufficient_funds" else _MESSAGES[card.code]
    return ApiError(
        message,
        status=402,
        kind="card_error",
        code=card.code,
        stored=True,
        keeps_effects=True,
        decline_code=card.decline_code,
        **more,
    )


def attach(call: Call, payment_method: Json, customer_id: str) -> Json:
    """The payment method belongs to the customer; raises card_declined for a card that cannot be saved."""
    card = card_of(payment_method)
    if card.code and card.declines_attach:
        raise decline(card)
    if payment_method["customer"] not in (None, customer_id):
        message = "The payment method you provided has already been attached to a customer."
        raise ApiError(message, code="payment_method_unexpected_state", param="payment_method", stored=True)
    payment_method = {**payment_method, "customer": customer_id}
    call.save(payment_method)
    return payment_method
