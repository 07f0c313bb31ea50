"""/v1/customers."""

import secrets

from devstack.stripe.call import Call
from devstack.stripe.cards import attach, resolve_payment_method
from devstack.stripe.errors import ApiError
from devstack.stripe.events import emit
from devstack.stripe.forms import Params
from devstack.stripe.rendering import page
from devstack.stripe.routing import PAGING, endpoint
from devstack.stripe.store import Json

_TEXTS = ("name", "email", "description", "phone")
_FIELDS = (
    "name email description phone metadata address shipping invoice_settings payment_method preferred_locales "
    "tax_exempt invoice_prefix next_invoice_sequence business_name individual_name"
)
_ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")


@endpoint("POST", "/v1/customers", f"{_FIELDS} tax_id_data")
def create(call: Call) -> Json:
    prefix = call.params.text("invoice_prefix") or secrets.token_hex(4).upper()
    body = call.create(
        "cus",
        "customer",
        {
            "address": None,
            "balance": 0,
            "currency": None,
            "default_source": None,
            "delinquent": False,
            "description": None,
            "discount": None,
            "email": None,
            "invoice_prefix": prefix,
            "invoice_settings": {
                "custom_fields": None,
                "default_payment_method": None,
                "footer": None,
                "rendering_options": None,
            },
            "metadata": {},
            "name": None,
            "next_invoice_sequence": 1,
            "phone": None,
            "preferred_locales": [],
            "shipping": None,
            "tax_exempt": "none",
            "test_clock": None,
        },
    )
    body = _changed(call, body)
    emit(call, "customer.created", body)
    return body


@endpoint("GET", "/v1/customers/{id}")
def retrieve(call: Call) -> Json:
    found = call.store.find(call.path[0], account=call.account, kind="customer")
    # A deleted customer is still found, and says no more than that.
    return found if found and found.get("deleted") else call.get("customer", call.path[0])


@endpoint("POST", "/v1/customers/{id}", _FIELDS)
def update(call: Call) -> Json:
    before = call.get("customer", call.path[0])
    body = _changed(call, before)
    emit(call, "customer.updated", body, before=before)
    return body


@endpoint("DELETE", "/v1/customers/{id}")
def delete(call: Call) -> Json:
    body = call.get("customer", call.path[0])
    gone = {"id": body["id"], "object": "customer", "deleted": True}
    call.save(gone)
    emit(call, "customer.deleted", body)
    return gone


@endpoint("GET", "/v1/customers", f"{PAGING} created email")
def list_all(call: Call) -> Json:
    return page(call, "customer", "/v1/customers", equal={"email": call.params.text("email")})


@endpoint("GET", "/v1/customers/{id}/payment_methods", f"{PAGING} type")
def list_payment_methods(call: Call) -> Json:
    customer = call.get("customer", call.path[0])
    url = f"/v1/customers/{customer['id']}/payment_methods"
    return page(call, "payment_method", url, equal={"customer": customer["id"]})


@endpoint("GET", "/v1/customers/{id}/payment_methods/{payment_method}")
def retrieve_payment_method(call: Call) -> Json:
    customer = call.get("customer", call.path[0])
    body = call.get("payment_method", call.path[1])
    if body["customer"] != customer["id"]:
        raise ApiError("No such PaymentMethod for this customer.", status=404, code="resource_missing")
    return body


def _changed(call: Call, body: Json) -> Json:
    params = call.params
    body = {**body, "metadata": params.metadata(body["metadata"])}
    for name in _TEXTS:
        if name in params:
            body[name] = params.text(name)
    if "invoice_prefix" in params:
        body["invoice_prefix"] = params.required("invoice_prefix")
    if "next_invoice_sequence" in params:
        body["next_invoice_sequence"] = params.required_integer("next_invoice_sequence")
    if "address" in params:
        body["address"] = _address(params.hash("address")) if params.holds_hash("address") else None
    if "preferred_locales" in params:
        body["preferred_locales"] = params.strings("preferred_locales")
    if "tax_exempt" in params:
        body["tax_exempt"] = params.one_of("tax_exempt", ("none", "exempt", "reverse"), "none")
    default = None
    if params.text("payment_method"):
        given = resolve_payment_method(call, params.required("payment_method"))
        attach(call, given, body["id"])
    if "invoice_settings" in params:
        settings = params.hash("invoice_settings")
        settings.allow(("default_payment_method", "footer", "custom_fields", "rendering_options"))
        default = settings.text("default_payment_method")
        if default:
            default = _default_payment_method(call, body["id"], default)
        changes = {"footer": settings.text("footer")} if "footer" in settings else {}
        if "default_payment_method" in settings:
            changes["default_payment_method"] = default
        body["invoice_settings"] = {**body["invoice_settings"], **changes}
    call.save(body)
    return body


def _default_payment_method(call: Call, customer_id: str, name: str) -> str:
    param = "invoice_settings[default_payment_method]"
    found = resolve_payment_method(call, name, param=param)
    if found["customer"] is None and not name.startswith("pm_card_"):
        message = f"The customer does not have a payment method with the ID {name}. Attach it first."
        raise ApiError(message, code="resource_missing", param=param)
    return str(attach(call, found, customer_id)["id"])


def _address(params: Params) -> Json:
    params.allow(_ADDRESS)
    return {name: params.text(name) for name in _ADDRESS}
