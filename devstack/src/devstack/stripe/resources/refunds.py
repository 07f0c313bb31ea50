"""/v1/refunds."""

from devstack.stripe.balances import post
from devstack.stripe.call import Call, positive_amount
from devstack.stripe.errors import parameter_missing, state_error
from devstack.stripe.events import emit
from devstack.stripe.rendering import page
from devstack.stripe.routing import PAGING, endpoint
from devstack.stripe.store import Json

_REASONS = ("duplicate", "fraudulent", "requested_by_customer")


@endpoint("POST", "/v1/refunds", "charge payment_intent amount reason metadata instructions_email")
def create(call: Call) -> Json:
    charge = _charge(call)
    left = charge["amount"] - charge["amount_refunded"]
    if not charge["paid"]:
        raise state_error(f"Charge {charge['id']} has not been paid and cannot be refunded.", param="charge")
    if charge["refunded"]:
        message = f"Charge {charge['id']} has already been refunded."
        raise state_error(message, code="charge_already_refunded")
    amount = positive_amount(call.params) if "amount" in call.params else left
    if amount > left:
        message = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})"
        raise state_error(message, param="amount")
    fields = {
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "currency": charge["currency"],
        "customer": charge["customer"],
        "destination_details": {"card": {"type": "refund"}, "type": "card"},
        "failure_balance_transaction": None,
        "metadata": call.params.metadata({}),
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "pending_reason": None,
        "reason": call.params.one_of("reason", _REASONS, "") if "reason" in call.params else None,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
    body = call.create("re", "refund", fields, parent=charge["id"])
    body["balance_transaction"] = post(call, "refund", body, -amount)["id"]
    call.save(body)
    refunded = charge["amount_refunded"] + amount
    charge = {**charge, "amount_refunded": refunded, "refunded": refunded == charge["amount"]}
    call.save(charge)
    call.moved(
        "refund", body, account=call.account, charge=charge["id"], payment_intent=charge["payment_intent"]
    )
    emit(call, "refund.created", body)
    emit(call, "charge.refunded", charge)
    return body


@endpoint("GET", "/v1/refunds/{id}")
def retrieve(call: Call) -> Json:
    return call.get("refund", call.path[0])


@endpoint("POST", "/v1/refunds/{id}", "metadata")
def update(call: Call) -> Json:
    before = call.get("refund", call.path[0])
    body = {**before, "metadata": call.params.metadata(before["metadata"])}
    call.save(body)
    emit(call, "refund.updated", body, before=before)
    return body


@endpoint("GET", "/v1/refunds", f"{PAGING} created charge payment_intent")
def list_all(call: Call) -> Json:
    equal = {name: call.params.text(name) for name in ("charge", "payment_intent")}
    return page(call, "refund", "/v1/refunds", equal=equal)


def _charge(call: Call) -> Json:
    charge = call.named("charge", "charge")
    if charge:
        return charge
    intent = call.named("payment_intent", "payment_intent")
    if intent is None:
        raise parameter_missing("charge")
    if intent["latest_charge"] is None:
        message = f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund."
        raise state_error(message, param="payment_intent")
    return call.get("charge", intent["latest_charge"])
