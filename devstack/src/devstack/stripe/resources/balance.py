"""/v1/balance and /v1/balance_transactions."""

from devstack.stripe.balances import balance
from devstack.stripe.call import Call
from devstack.stripe.rendering import page
from devstack.stripe.routing import PAGING, endpoint
from devstack.stripe.store import Json


@endpoint("GET", "/v1/balance")
def retrieve(call: Call) -> Json:
    amounts = balance(call) or {"eur": (0, 0)}

    def column(index: int) -> list[Json]:
        return [
            {"amount": pair[index], "currency": currency, "source_types": {"card": pair[index]}}
            for currency, pair in amounts.items()
        ]

    return {
        "object": "balance",
        "available": column(0),
        "connect_reserved": [],
        "livemode": False,
        "pending": column(1),
    }


@endpoint("GET", "/v1/balance_transactions", f"{PAGING} created type source currency")
def list_transactions(call: Call) -> Json:
    equal = {name: call.params.text(name) for name in ("type", "source", "currency")}
    found = page(call, "balance_transaction", "/v1/balance_transactions", equal=equal)
    return {**found, "data": [_with_status(call, body) for body in found["data"]]}


@endpoint("GET", "/v1/balance_transactions/{id}")
def retrieve_transaction(call: Call) -> Json:
    return _with_status(call, call.get("balance_transaction", call.path[0]))


def _with_status(call: Call, body: Json) -> Json:
    return {**body, "status": "available" if body["available_on"] <= call.now else "pending"}
