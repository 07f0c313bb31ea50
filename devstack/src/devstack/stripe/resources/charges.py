"""/v1/charges: read and annotate; charges come about by paying invoices and payment intents."""

from devstack.stripe.call import Call
from devstack.stripe.events import emit
from devstack.stripe.rendering import page
from devstack.stripe.routing import PAGING, endpoint
from devstack.stripe.store import Json


@endpoint("GET", "/v1/charges/{id}")
def retrieve(call: Call) -> Json:
    return call.get("charge", call.path[0])


@endpoint("POST", "/v1/charges/{id}", "description metadata transfer_group")
def update(call: Call) -> Json:
    before = call.get("charge", call.path[0])
    body = {**before, "metadata": call.params.metadata(before["metadata"])}
    for name in ("description", "transfer_group"):
        if name in call.params:
            body[name] = call.params.text(name)
    call.save(body)
    emit(call, "charge.updated", body, before=before)
    return body


@endpoint("GET", "/v1/charges", f"{PAGING} created customer payment_intent transfer_group")
def list_all(call: Call) -> Json:
    equal = {name: call.params.text(name) for name in ("customer", "payment_intent", "transfer_group")}
    return page(call, "charge", "/v1/charges", equal=equal)


@endpoint("GET", "/v1/charges/{id}/refunds", PAGING)
def list_refunds(call: Call) -> Json:
    charge = call.get("charge", call.path[0])
    return page(call, "refund", f"/v1/charges/{charge['id']}/refunds", parent=charge["id"])
