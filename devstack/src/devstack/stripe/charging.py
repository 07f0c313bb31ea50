"""One attempt to take money from a card, for a payment intent."""

from devstack.stripe.balances import post, processing_fee
from devstack.stripe.call import Call
from devstack.stripe.cards import Card, card_of, decline
from devstack.stripe.errors import ApiError
from devstack.stripe.events import emit
from devstack.stripe.store import Json

_PAYABLE = ("requires_payment_method", "requires_confirmation", "requires_action")


def new_intent(call: Call, *, amount: int, currency: str, customer: str | None, **fields: object) -> Json:
    """A payment intent that waits for a payment method, and the event that says so."""
    body = call.create(
        "pi",
        "payment_intent",
        {
            "amount": amount,
            "amount_capturable": 0,
            "amount_received": 0,
            "application": None,
            "automatic_payment_methods": None,
            "canceled_at": None,
            "cancellation_reason": None,
            "capture_method": "automatic",
            "client_secret": None,
            "confirmation_method": "automatic",
            "currency": currency,
            "customer": customer,
            "description": None,
            "last_payment_error": None,
            "latest_charge": None,
            "metadata": {},
            "next_action": None,
            "on_behalf_of": None,
            "payment_method": None,
            "payment_method_types": ["card"],
            "payment_record": None,
            "receipt_email": None,
            "review": None,
            "setup_future_usage": None,
            "source": None,
            "status": "requires_payment_method",
            "transfer_group": None,
            **fields,
        },
    )
    body["client_secret"] = f"{body['id']}_secret_devstack"
    call.save(body)
    emit(call, "payment_intent.created", body)
    return body


def confirm(
    call: Call, intent: Json, payment_method: Json, *, off_session: bool, invoice: str | None = None
) -> Json:
    """The charged intent; raises card_declined, with the failed attempt on record, if the card says no."""
    if intent["status"] not in _PAYABLE:
        message = f"You cannot confirm this PaymentIntent because it has a status of {intent['status']}."
        raise ApiError(message, code="payment_intent_unexpected_state", stored=True, payment_intent=intent)
    owner = payment_method["customer"]
    if owner is not None and owner != intent["customer"]:
        message = "The provided PaymentMethod does not belong to the Customer of this PaymentIntent."
        raise ApiError(message, param="payment_method", stored=True)
    intent = {**intent, "payment_method": payment_method["id"]}
    card = card_of(payment_method)
    if card.code == "authentication_required" and not off_session:
        action = {"type": "use_stripe_sdk", "use_stripe_sdk": {}}
        intent |= {"status": "requires_action", "next_action": action, "last_payment_error": None}
        call.save(intent)
        emit(call, "payment_intent.requires_action", intent)
        return intent
    if card.code:
        raise _failed(call, intent, payment_method, card)
    charge = _succeeded_charge(call, intent, payment_method, card, invoice=invoice)
    intent |= {
        "amount_received": intent["amount"],
        "latest_charge": charge["id"],
        "status": "succeeded",
        "last_payment_error": None,
        "next_action": None,
    }
    call.save(intent)
    emit(call, "charge.succeeded", charge)
    emit(call, "payment_intent.succeeded", intent)
    return intent


def cancel_intent(call: Call, intent: Json, *, reason: str | None) -> Json:
    if intent["status"] not in _PAYABLE:
        message = f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}."
        raise ApiError(message, code="payment_intent_unexpected_state", stored=True, payment_intent=intent)
    intent = {**intent, "status": "canceled", "canceled_at": call.now, "cancellation_reason": reason}
    call.save(intent)
    emit(call, "payment_intent.canceled", intent)
    return intent


def _succeeded_charge(
    call: Call, intent: Json, payment_method: Json, card: Card, *, invoice: str | None
) -> Json:
    charge = _charge(call, intent, payment_method, paid=True)
    fee = processing_fee(charge["amount"])
    wait = 0 if card.last4 == "0077" else call.config.settlement_seconds
    transaction = post(call, "charge", charge, charge["amount"], fee=fee, available_on=call.now + wait)
    charge["balance_transaction"] = transaction["id"]
    call.save(charge)
    call.moved(
        "charge",
        charge,
        account=call.account,
        customer=charge["customer"],
        payment_intent=intent["id"],
        invoice=invoice,
        fee=fee,
    )
    return charge


def _failed(call: Call, intent: Json, payment_method: Json, card: Card) -> ApiError:
    refusal = decline(card)
    charge = _charge(call, intent, payment_method, paid=False)
    charge |= {"failure_code": card.code, "failure_message": refusal.message, "status": "failed"}
    charge["outcome"] = {
        "network_status": "declined_by_network",
        "reason": card.decline_code,
        "seller_message": "The bank did not return any further details with this decline.",
        "type": "issuer_declined",
    }
    call.save(charge)
    error = {**refusal.body()["error"], "charge": charge["id"], "payment_method": payment_method}
    intent |= {"last_payment_error": error, "latest_charge": charge["id"], "payment_method": None}
    intent["status"] = "requires_payment_method"
    call.save(intent)
    emit(call, "charge.failed", charge)
    emit(call, "payment_intent.payment_failed", intent)
    return decline(card, charge=charge["id"], payment_method=payment_method, payment_intent=intent)


def _charge(call: Call, intent: Json, payment_method: Json, *, paid: bool) -> Json:
    amount = intent["amount"]
    return call.create(
        "ch",
        "charge",
        {
            "amount": amount,
            "amount_captured": amount if paid else 0,
            "amount_refunded": 0,
            "application": None,
            "balance_transaction": None,
            "billing_details": payment_method["billing_details"],
            "captured": paid,
            "currency": intent["currency"],
            "customer": intent["customer"],
            "description": intent["description"],
            "disputed": False,
            "failure_balance_transaction": None,
            "failure_code": None,
            "failure_message": None,
            "metadata": intent["metadata"],
            "on_behalf_of": None,
            "outcome": {
                "network_status": "approved_by_network",
                "reason": None,
                "seller_message": "Payment complete.",
                "type": "authorized",
            },
            "paid": paid,
            "payment_intent": intent["id"],
            "payment_method": payment_method["id"],
            "payment_method_details": {"card": payment_method["card"], "type": "card"},
            "receipt_url": None,
            "refunded": False,
            "review": None,
            "source": None,
            "source_transfer": None,
            "status": "succeeded" if paid else "pending",
            "transfer": None,
            "transfer_group": intent["transfer_group"],
        },
    )
