"""/v1/events."""

from devstack.stripe.call import Call
from devstack.stripe.rendering import page
from devstack.stripe.routing import PAGING, endpoint
from devstack.stripe.store import Json


@endpoint("GET", "/v1/events/{id}")
def retrieve(call: Call) -> Json:
    return call.get("event", call.path[0])


@endpoint("GET", "/v1/events", f"{PAGING} created type types")
def list_all(call: Call) -> Json:
    kind = call.params.text("type")
    return page(call, "event", "/v1/events", equal={"type": call.params.strings("types") or kind})
