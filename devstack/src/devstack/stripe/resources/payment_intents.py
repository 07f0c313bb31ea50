"""/v1/payment_intents."""

from devstack.stripe import charging
from devstack.stripe.call import Call, positive_amount
from devstack.stripe.cards import attach, resolve_payment_method
from devstack.stripe.errors import ApiError, parameter_missing, state_error
from devstack.stripe.events import emit
from devstack.stripe.rendering import page
from devstack.stripe.routing import PAGING, endpoint
from devstack.stripe.store import Json

MINIMUM_CHARGE = 50


@endpoint(
    "POST",
    "/v1/payment_intents",
    "amount currency customer payment_method confirm off_session description metadata transfer_group "
    "payment_method_types automatic_payment_methods receipt_email setup_future_usage return_url",
)
def create(call: Call) -> Json:
    params = call.params
    amount, currency = positive_amount(params), params.currency()
    if currency is None:
        raise parameter_missing("currency")
    if amount < MINIMUM_CHARGE:
        raise ApiError("Amount must be at least 50 minor units.", code="amount_too_small", param="amount")
    customer = call.named("customer", "customer")
    intent = charging.new_intent(
        call,
        amount=amount,
        currency=currency,
        customer=customer["id"] if customer else None,
        description=params.text("description"),
        metadata=params.metadata({}),
        receipt_email=params.text("receipt_email"),
        setup_future_usage=params.text("setup_future_usage"),
        transfer_group=params.text("transfer_group"),
    )
    if params.text("payment_method"):
        intent = _with_payment_method(call, intent)
    return _confirm(call, intent) if params.flag("confirm") else intent


@endpoint("GET", "/v1/payment_intents/{id}", "client_secret")
def retrieve(call: Call) -> Json:
    return call.get("payment_intent", call.path[0])


@endpoint("GET", "/v1/payment_intents", f"{PAGING} created customer")
def list_all(call: Call) -> Json:
    return page(
        call, "payment_intent", "/v1/payment_intents", equal={"customer": call.params.text("customer")}
    )


@endpoint(
    "POST", "/v1/payment_intents/{id}", "description metadata payment_method transfer_group receipt_email"
)
def update(call: Call) -> Json:
    body = call.get("payment_intent", call.path[0])
    body["metadata"] = call.params.metadata(body["metadata"])
    for name in ("description", "transfer_group", "receipt_email"):
        if name in call.params:
            body[name] = call.params.text(name)
    call.save(body)
    return _with_payment_method(call, body) if "payment_method" in call.params else body


@endpoint("POST", "/v1/payment_intents/{id}/confirm", "payment_method off_session return_url")
def confirm(call: Call) -> Json:
    intent = call.get("payment_intent", call.path[0])
    if call.params.text("payment_method"):
        intent = _with_payment_method(call, intent)
    return _confirm(call, intent)


@endpoint("POST", "/v1/payment_intents/{id}/cancel", "cancellation_reason")
def cancel(call: Call) -> Json:
    intent = call.get("payment_intent", call.path[0])
    return charging.cancel_intent(call, intent, reason=call.params.text("cancellation_reason"))


def _with_payment_method(call: Call, intent: Json) -> Json:
    found = resolve_payment_method(call, call.params.required("payment_method"))
    intent = {**intent, "payment_method": found["id"]}
    if intent["status"] == "requires_payment_method":
        intent["status"] = "requires_confirmation"
    call.save(intent)
    return intent


def _confirm(call: Call, intent: Json) -> Json:
    if intent["payment_method"] is None:
        message = "You cannot confirm this PaymentIntent because it's missing a payment method."
        raise state_error(message, code="payment_intent_unexpected_state", payment_intent=intent)
    payment_method = call.get("payment_method", intent["payment_method"], param="payment_method")
    off_session = bool(call.params.flag("off_session"))
    intent = charging.confirm(call, intent, payment_method, off_session=off_session)
    if intent["setup_future_usage"] and intent["customer"] and intent["status"] == "succeeded":
        emit(call, "payment_method.attached", attach(call, payment_method, intent["customer"]))
    return intent
