"""/v1/billing_portal/sessions."""

from devstack.stripe.call import Call
from devstack.stripe.routing import endpoint
from devstack.stripe.store import Json


@endpoint("POST", "/v1/billing_portal/sessions", "customer return_url configuration locale flow_data")
def create(call: Call) -> Json:
    customer = call.get("customer", call.params.required("customer"), param="customer")
    body = call.create(
        "bps",
        "billing_portal.session",
        {
            "configuration": call.params.text("configuration") or "bpc_devstack",
            "customer": customer["id"],
            "flow": None,
            "locale": call.params.text("locale"),
            "on_behalf_of": None,
            "return_url": call.params.text("return_url"),
        },
    )
    body["url"] = f"{call.config.base_url}/__pages/portal/{body['id']}"
    call.save(body)
    return body
