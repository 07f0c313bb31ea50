"""/v1/payment_methods and /v1/setup_intents."""

from devstack.stripe.call import Call
from devstack.stripe.cards import TOKENS, attach, card_of, decline, new_payment_method, resolve_payment_method
from devstack.stripe.errors import ApiError, resource_missing, state_error
from devstack.stripe.events import emit
from devstack.stripe.rendering import page
from devstack.stripe.routing import PAGING, endpoint
from devstack.stripe.store import Json


@endpoint("POST", "/v1/payment_methods", "type card billing_details metadata allow_redisplay")
def create(call: Call) -> Json:
    call.params.one_of("type", ("card",), "card")
    card = call.params.hash("card")
    if "number" in card:
        raise ApiError(
            "Sending credit card numbers directly to the Stripe API is generally unsafe. Use a test token.",
            param="card[number]",
        )
    token = card.required("token")
    if token not in TOKENS:
        raise resource_missing("token", token, "card[token]")
    return new_payment_method(call, TOKENS[token], metadata=call.params.metadata({}))


@endpoint("GET", "/v1/payment_methods/{id}")
def retrieve(call: Call) -> Json:
    return call.get("payment_method", call.path[0])


@endpoint("POST", "/v1/payment_methods/{id}", "metadata billing_details allow_redisplay")
def update(call: Call) -> Json:
    before = call.get("payment_method", call.path[0])
    body = {**before, "metadata": call.params.metadata(before["metadata"])}
    call.save(body)
    emit(call, "payment_method.updated", body, before=before)
    return body


@endpoint("GET", "/v1/payment_methods", f"{PAGING} customer type")
def list_all(call: Call) -> Json:
    customer = call.named("customer", "customer")
    equal = {"customer": customer["id"] if customer else None}
    return page(call, "payment_method", "/v1/payment_methods", equal=equal)


@endpoint("POST", "/v1/payment_methods/{id}/attach", "customer")
def attach_to_customer(call: Call) -> Json:
    customer = call.get("customer", call.params.required("customer"), param="customer")
    body = attach(call, resolve_payment_method(call, call.path[0], param="id"), customer["id"])
    emit(call, "payment_method.attached", body)
    return body


@endpoint("POST", "/v1/payment_methods/{id}/detach")
def detach(call: Call) -> Json:
    body = call.get("payment_method", call.path[0])
    if body["customer"] is None:
        message = "The payment method you provided is not attached to a customer so detachment is impossible."
        raise state_error(message, code="payment_method_unexpected_state")
    customer = call.get("customer", body["customer"])
    settings = customer["invoice_settings"]
    if settings["default_payment_method"] == body["id"]:
        call.save({**customer, "invoice_settings": {**settings, "default_payment_method": None}})
    body = {**body, "customer": None}
    call.save(body)
    emit(call, "payment_method.detached", body)
    return body


@endpoint(
    "POST",
    "/v1/setup_intents",
    "customer payment_method confirm usage metadata description payment_method_types automatic_payment_methods "
    "return_url",
)
def create_setup_intent(call: Call) -> Json:
    customer = call.named("customer", "customer")
    body = call.create(
        "seti",
        "setup_intent",
        {
            "application": None,
            "cancellation_reason": None,
            "client_secret": None,
            "customer": customer["id"] if customer else None,
            "description": call.params.text("description"),
            "last_setup_error": None,
            "latest_attempt": None,
            "mandate": None,
            "metadata": call.params.metadata({}),
            "next_action": None,
            "on_behalf_of": None,
            "payment_method": None,
            "payment_method_types": call.params.strings("payment_method_types") or ["card"],
            "single_use_mandate": None,
            "status": "requires_payment_method",
            "usage": call.params.one_of("usage", ("off_session", "on_session"), "off_session"),
        },
    )
    body["client_secret"] = f"{body['id']}_secret_devstack"
    if name := call.params.text("payment_method"):
        body["payment_method"] = resolve_payment_method(call, name)["id"]
        body["status"] = "requires_confirmation"
    call.save(body)
    emit(call, "setup_intent.created", body)
    return _confirmed(call, body) if call.params.flag("confirm") else body


@endpoint("GET", "/v1/setup_intents/{id}")
def retrieve_setup_intent(call: Call) -> Json:
    return call.get("setup_intent", call.path[0])


@endpoint("POST", "/v1/setup_intents/{id}/confirm", "payment_method return_url")
def confirm_setup_intent(call: Call) -> Json:
    body = call.get("setup_intent", call.path[0])
    if name := call.params.text("payment_method"):
        body["payment_method"] = resolve_payment_method(call, name)["id"]
    return _confirmed(call, body)


@endpoint("POST", "/v1/setup_intents/{id}/cancel", "cancellation_reason")
def cancel_setup_intent(call: Call) -> Json:
    body = call.get("setup_intent", call.path[0])
    if body["status"] in ("succeeded", "canceled"):
        message = f"You cannot cancel this SetupIntent because it has a status of {body['status']}."
        raise state_error(message, code="setup_intent_unexpected_state")
    body |= {"status": "canceled", "cancellation_reason": call.params.text("cancellation_reason")}
    call.save(body)
    emit(call, "setup_intent.canceled", body)
    return body


def _confirmed(call: Call, body: Json) -> Json:
    if body["status"] in ("succeeded", "canceled"):
        message = f"You cannot confirm this SetupIntent because it has a status of {body['status']}."
        raise state_error(message, code="setup_intent_unexpected_state")
    if body["payment_method"] is None:
        message = "You cannot confirm this SetupIntent because it's missing a payment method."
        raise state_error(message, code="setup_intent_unexpected_state")
    payment_method = call.get("payment_method", body["payment_method"])
    card = card_of(payment_method)
    if card.code and card.declines_attach:
        refusal = decline(card)
        body |= {"last_setup_error": refusal.body()["error"], "status": "requires_payment_method"}
        call.save(body)
        emit(call, "setup_intent.setup_failed", body)
        raise refusal
    if body["customer"]:
        attached = attach(call, payment_method, body["customer"])
        emit(call, "payment_method.attached", attached)
    body["status"] = "succeeded"
    call.save(body)
    emit(call, "setup_intent.succeeded", body)
    return body
