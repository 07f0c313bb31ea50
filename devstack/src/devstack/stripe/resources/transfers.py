"""/v1/transfers and their reversals: money to and from connected accounts."""

from devstack.stripe.balances import available, post
from devstack.stripe.call import PLATFORM, Call, positive_amount
from devstack.stripe.errors import parameter_missing, resource_missing, state_error
from devstack.stripe.events import emit
from devstack.stripe.rendering import page
from devstack.stripe.routing import PAGING, endpoint
from devstack.stripe.store import Json


@endpoint(
    "POST",
    "/v1/transfers",
    "amount currency destination source_transaction transfer_group description metadata",
)
def create(call: Call) -> Json:
    params = call.params
    amount, currency = positive_amount(params), params.currency()
    if currency is None:
        raise parameter_missing("currency")
    destination = _destination(call, params.required("destination"))
    charge = call.named("charge", "source_transaction")
    if charge:
        _check_source(call, charge, amount=amount, currency=currency)
    elif available(call, currency) < amount:
        message = (
            "You have insufficient available funds in your Stripe account. Try adding funds directly to your "
            "available balance, or transfer from a charge with source_transaction."
        )
        raise state_error(message, code="balance_insufficient")
    group = params.text("transfer_group") or (charge or {}).get("transfer_group")
    if charge and group is None:
        group = f"group_{charge['payment_intent'] or charge['id']}"
    fields = {
        "amount": amount,
        "amount_reversed": 0,
        "balance_transaction": None,
        "currency": currency,
        "description": params.text("description"),
        "destination": destination["id"],
        "destination_payment": None,
        "metadata": params.metadata({}),
        "reversed": False,
        "source_transaction": charge["id"] if charge else None,
        "source_type": "card",
        "transfer_group": group,
    }
    body = call.create("tr", "transfer", fields, parent=charge["id"] if charge else None)
    _settle(call, body, charge)
    call.moved(
        "transfer",
        body,
        destination=destination["id"],
        source_transaction=body["source_transaction"],
        transfer_group=group,
    )
    emit(call, "transfer.created", body)
    return body


@endpoint("GET", "/v1/transfers/{id}")
def retrieve(call: Call) -> Json:
    return call.get("transfer", call.path[0])


@endpoint("POST", "/v1/transfers/{id}", "description metadata")
def update(call: Call) -> Json:
    before = call.get("transfer", call.path[0])
    body = {**before, "metadata": call.params.metadata(before["metadata"])}
    if "description" in call.params:
        body["description"] = call.params.text("description")
    call.save(body)
    emit(call, "transfer.updated", body, before=before)
    return body


@endpoint("GET", "/v1/transfers", f"{PAGING} created destination transfer_group")
def list_all(call: Call) -> Json:
    equal = {name: call.params.text(name) for name in ("destination", "transfer_group")}
    return page(call, "transfer", "/v1/transfers", equal=equal)


@endpoint("POST", "/v1/transfers/{id}/reversals", "amount description metadata refund_application_fee")
def reverse(call: Call) -> Json:
    transfer = call.get("transfer", call.path[0])
    left = transfer["amount"] - transfer["amount_reversed"]
    amount = positive_amount(call.params) if "amount" in call.params else left
    if amount > left or left == 0:
        message = f"Reversal amount ({amount}) is greater than unreversed amount on transfer ({left})"
        raise state_error(message, param="amount")
    connected = call.as_account(transfer["destination"])
    if available(connected, transfer["currency"]) < amount:
        message = "The connected account has insufficient available funds to reverse this transfer."
        raise state_error(message, code="balance_insufficient")
    fields = {
        "amount": amount,
        "balance_transaction": None,
        "currency": transfer["currency"],
        "destination_payment_refund": None,
        "metadata": call.params.metadata({}),
        "source_refund": None,
        "transfer": transfer["id"],
    }
    body = call.create("trr", "transfer_reversal", fields, parent=transfer["id"])
    body["balance_transaction"] = post(call, "transfer_refund", body, amount)["id"]
    post(connected, "payment_refund", body, -amount)
    call.save(body)
    reversed_amount = transfer["amount_reversed"] + amount
    transfer = {
        **transfer,
        "amount_reversed": reversed_amount,
        "reversed": reversed_amount == transfer["amount"],
    }
    call.save(transfer)
    call.moved("transfer_reversal", body, transfer=transfer["id"], destination=transfer["destination"])
    emit(call, "transfer.reversed", transfer)
    return body


@endpoint("GET", "/v1/transfers/{id}/reversals", PAGING)
def list_reversals(call: Call) -> Json:
    transfer = call.get("transfer", call.path[0])
    return page(call, "transfer_reversal", f"/v1/transfers/{transfer['id']}/reversals", parent=transfer["id"])


@endpoint("GET", "/v1/transfers/{id}/reversals/{reversal}")
def retrieve_reversal(call: Call) -> Json:
    body = call.get("transfer_reversal", call.path[1])
    if body["transfer"] != call.path[0]:
        raise resource_missing("transfer reversal", body["id"], "id")
    return body


def _destination(call: Call, account_id: str) -> Json:
    found = call.store.find(account_id, account=PLATFORM, kind="account")
    if found is None or found.get("deleted"):
        raise resource_missing("destination", account_id, "destination")
    if found["capabilities"].get("transfers") != "active":
        message = (
            "Your destination account needs to have at least one of the following capabilities enabled: "
            "transfers, crypto_transfers, legacy_payments"
        )
        raise state_error(message, code="insufficient_capabilities_for_transfer")
    return found


def _check_source(call: Call, charge: Json, *, amount: int, currency: str) -> None:
    if not charge["paid"]:
        raise state_error("The source charge has not succeeded.", param="source_transaction")
    if charge["currency"] != currency:
        message = f"The currency of source_transaction's balance transaction ({charge['currency']}) must be the same."
        raise state_error(message, code="transfer_source_balance_parameters_mismatch", param="currency")
    moved = sum(transfer["amount"] for transfer in call.store.children(charge["id"], "transfer"))
    if moved + amount > charge["amount"]:
        message = (
            f"Cannot use {charge['id']} as source_transaction because the requested amount exceeds its amount: "
            f"{charge['amount'] - moved} of {charge['amount']} is left."
        )
        raise state_error(message, param="amount")


def _settle(call: Call, body: Json, charge: Json | None) -> None:
    """Both balances move; money from a charge that is still pending arrives pending, too."""
    available_on = None
    if charge:
        available_on = call.get("balance_transaction", charge["balance_transaction"])["available_on"]
    connected = call.as_account(body["destination"])
    payment = {
        "amount": body["amount"],
        "amount_refunded": 0,
        "currency": body["currency"],
        "paid": True,
        "refunded": False,
        "source_transfer": body["id"],
        "status": "succeeded",
        "transfer_group": body["transfer_group"],
    }
    arrived = connected.create("py", "charge", payment)
    body["balance_transaction"] = post(call, "transfer", body, -body["amount"], available_on=available_on)[
        "id"
    ]
    arrived["balance_transaction"] = post(
        connected, "payment", arrived, body["amount"], available_on=available_on
    )["id"]
    connected.save(arrived)
    body["destination_payment"] = arrived["id"]
    call.save(body)
