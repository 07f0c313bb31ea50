"""/v1/invoices."""

from typing import Any

from devstack.stripe import invoicing
from devstack.stripe.call import Call
from devstack.stripe.errors import ApiError, resource_missing, state_error
from devstack.stripe.events import emit
from devstack.stripe.rendering import page
from devstack.stripe.resources.invoice_items import LINE_FIELDS, new_item
from devstack.stripe.routing import PAGING, endpoint
from devstack.stripe.store import Json

_AUTOMATIC_FINALIZATION_SECONDS = 3600
_STATUSES = ("draft", "open", "paid", "uncollectible", "void")
_FIELDS = (
    "auto_advance collection_method days_until_due due_date default_payment_method description footer metadata "
    "number statement_descriptor effective_at custom_fields payment_settings rendering automatic_tax"
)
_TEXTS = ("description", "footer", "statement_descriptor")
_STILL_OPEN_TO_CHANGE = {"auto_advance", "metadata", "default_payment_method", "payment_settings", "expand"}
_DRAFT: Json = {
    "account_country": "DE",
    "account_name": "Marketplace",
    "account_tax_ids": None,
    "amount_due": 0,
    "amount_overpaid": 0,
    "amount_paid": 0,
    "amount_paid_off_stripe": 0,
    "amount_remaining": 0,
    "amount_shipping": 0,
    "application": None,
    "attempt_count": 0,
    "attempted": False,
    "auto_advance": False,
    "automatic_tax": {
        "disabled_reason": None,
        "enabled": False,
        "liability": None,
        "provider": None,
        "status": None,
    },
    "automatically_finalizes_at": None,
    "billing_reason": "manual",
    "collection_method": "charge_automatically",
    "custom_fields": None,
    "customer_tax_ids": [],
    "default_payment_method": None,
    "default_source": None,
    "default_tax_rates": [],
    "description": None,
    "discounts": [],
    "due_date": None,
    "effective_at": None,
    "ending_balance": None,
    "footer": None,
    "from_invoice": None,
    "hosted_invoice_url": None,
    "invoice_pdf": None,
    "issuer": {"type": "self"},
    "last_finalization_error": None,
    "latest_revision": None,
    "next_payment_attempt": None,
    "number": None,
    "on_behalf_of": None,
    "parent": None,
    "payment_settings": {
        "default_mandate": None,
        "payment_method_options": None,
        "payment_method_types": None,
    },
    "post_payment_credit_notes_amount": 0,
    "pre_payment_credit_notes_amount": 0,
    "receipt_number": None,
    "starting_balance": 0,
    "statement_descriptor": None,
    "status": "draft",
    "status_transitions": {
        "finalized_at": None,
        "marked_uncollectible_at": None,
        "paid_at": None,
        "voided_at": None,
    },
    "subtotal": 0,
    "test_clock": None,
    "total": 0,
    "total_discount_amounts": [],
    "total_pretax_credit_amounts": [],
    "total_taxes": [],
    "webhooks_delivered_at": None,
}


@endpoint("POST", "/v1/invoices", f"{_FIELDS} customer currency pending_invoice_items_behavior")
def create(call: Call) -> Json:
    params = call.params
    customer = call.get("customer", params.required("customer"), param="customer")
    currency = params.currency() or customer["currency"] or "eur"
    body = call.create(
        "in",
        "invoice",
        {
            **_DRAFT,
            "currency": currency,
            "customer": customer["id"],
            "customer_address": customer["address"],
            "customer_email": customer["email"],
            "customer_name": customer["name"],
            "customer_phone": customer["phone"],
            "customer_shipping": customer["shipping"],
            "customer_tax_exempt": customer["tax_exempt"],
            "metadata": {},
            "period_end": call.now,
            "period_start": call.now,
        },
    )
    body = _changed(call, body)
    behavior = params.one_of("pending_invoice_items_behavior", ("include", "exclude"), "exclude")
    if behavior == "include":
        for item in call.store.children(customer["id"], "invoiceitem"):
            if item["currency"] == currency:
                invoicing.add_line(call, body, item)
    body = invoicing.with_totals(call, body)
    emit(call, "invoice.created", body)
    return body


@endpoint("GET", "/v1/invoices/{id}")
def retrieve(call: Call) -> Json:
    return call.get("invoice", call.path[0])


@endpoint("GET", "/v1/invoices", f"{PAGING} created customer status collection_method due_date subscription")
def list_all(call: Call) -> Json:
    customer = call.named("customer", "customer")
    status = call.params.one_of("status", _STATUSES, "") if "status" in call.params else None
    equal = {
        "customer": customer["id"] if customer else None,
        "status": status,
        "collection_method": call.params.text("collection_method"),
    }
    return page(call, "invoice", "/v1/invoices", equal=equal)


@endpoint("POST", "/v1/invoices/{id}", _FIELDS)
def update(call: Call) -> Json:
    before = call.get("invoice", call.path[0])
    frozen = sorted(set(call.params) - _STILL_OPEN_TO_CHANGE)
    if before["status"] != "draft" and frozen:
        message = f"Finalized invoices can't be updated in this way: {', '.join(frozen)}."
        raise state_error(message, code="invoice_not_editable", param=frozen[0])
    body = _changed(call, before)
    emit(call, "invoice.updated", body, before=before)
    return body


@endpoint("DELETE", "/v1/invoices/{id}")
def delete(call: Call) -> Json:
    body = _draft(call, "You can only delete draft invoices.")
    for kind in ("line_item", "invoiceitem"):
        for part in call.store.children(body["id"], kind):
            call.store.delete(part["id"])
    emit(call, "invoice.deleted", body)
    call.store.delete(body["id"])
    return {"id": body["id"], "object": "invoice", "deleted": True}


@endpoint("POST", "/v1/invoices/{id}/finalize", "auto_advance")
def finalize(call: Call) -> Json:
    body = call.get("invoice", call.path[0])
    advance = call.params.flag("auto_advance")
    if advance is not None:
        body["auto_advance"] = advance
    return invoicing.finalize(call, body)


@endpoint("POST", "/v1/invoices/{id}/pay", "payment_method off_session paid_out_of_band forgive mandate")
def pay(call: Call) -> Json:
    body = call.get("invoice", call.path[0])
    if call.params.flag("paid_out_of_band"):
        return invoicing.pay_out_of_band(call, body)
    off_session = call.params.flag("off_session")
    return invoicing.pay(
        call,
        body,
        payment_method=call.params.text("payment_method"),
        off_session=True if off_session is None else off_session,
    )


@endpoint("POST", "/v1/invoices/{id}/void")
def void(call: Call) -> Json:
    return invoicing.void(call, call.get("invoice", call.path[0]))


@endpoint("POST", "/v1/invoices/{id}/mark_uncollectible")
def mark_uncollectible(call: Call) -> Json:
    return invoicing.mark_uncollectible(call, call.get("invoice", call.path[0]))


@endpoint("POST", "/v1/invoices/{id}/send")
def send(call: Call) -> Json:
    body = call.get("invoice", call.path[0])
    if body["status"] == "draft":
        body = invoicing.finalize(call, body)
    emit(call, "invoice.sent", body)
    return body


@endpoint("GET", "/v1/invoices/{id}/lines", PAGING)
def list_lines(call: Call) -> Json:
    body = call.get("invoice", call.path[0])
    url = f"/v1/invoices/{body['id']}/lines"
    return page(call, "line_item", url, parent=body["id"], oldest_first=True)


@endpoint("POST", "/v1/invoices/{id}/add_lines", "lines invoice_metadata")
def add_lines(call: Call) -> Json:
    body = _draft(call, "You can only add lines to draft invoices.")
    lines = call.params.hashes("lines")
    if not lines:
        raise ApiError("Missing required param: lines.", code="parameter_missing", param="lines")
    for line in lines:
        line.allow(LINE_FIELDS.split())
        invoicing.add_line(
            call, body, new_item(call, line, customer=body["customer"], currency=body["currency"])
        )
    return _retotalled(call, body)


@endpoint("POST", "/v1/invoices/{id}/remove_lines", "lines invoice_metadata")
def remove_lines(call: Call) -> Json:
    body = _draft(call, "You can only remove lines of draft invoices.")
    for line in call.params.hashes("lines"):
        found = call.get("line_item", line.required("id"), param=line.name("id"))
        if found["invoice"] != body["id"]:
            raise resource_missing("line_item", found["id"], line.name("id"))
        call.store.delete(found["id"])
        call.store.delete(found["parent"]["invoice_item_details"]["invoice_item"])
    return _retotalled(call, body)


@endpoint("GET", "/v1/invoice_payments", f"{PAGING} invoice status payment created")
def list_payments(call: Call) -> Json:
    invoice = call.named("invoice", "invoice")
    payment = call.params.hash("payment").text("payment_intent") if "payment" in call.params else None
    found = page(
        call,
        "invoice_payment",
        "/v1/invoice_payments",
        parent=invoice["id"] if invoice else None,
        equal={"status": call.params.text("status"), "payment.payment_intent": payment},
    )
    return found


def _draft(call: Call, otherwise: str) -> Json:
    body = call.get("invoice", call.path[0])
    if body["status"] != "draft":
        raise state_error(otherwise, code="invoice_not_editable")
    return body


def _retotalled(call: Call, before: Json) -> Json:
    body = {**before, "metadata": _merged_metadata(call, before)}
    body = invoicing.with_totals(call, body)
    emit(call, "invoice.updated", body, before=before)
    return body


def _merged_metadata(call: Call, body: Json) -> Any:
    changes = call.params.hash("invoice_metadata")
    return {**body["metadata"], **{name: changes.text(name) or "" for name in changes}}


def _changed(call: Call, body: Json) -> Json:
    params = call.params
    body = {**body, "metadata": params.metadata(body["metadata"])}
    for name in _TEXTS:
        if name in params:
            body[name] = params.text(name)
    if "number" in params:
        body["number"] = _unused_number(call, params.required("number"))
    for name in ("effective_at", "due_date"):
        if name in params:
            body[name] = params.integer(name)
    if "default_payment_method" in params:
        chosen = call.named("payment_method", "default_payment_method")
        body["default_payment_method"] = chosen["id"] if chosen else None
    advance = params.flag("auto_advance")
    if advance is not None:
        body["auto_advance"] = advance
        waits = advance and body["status"] == "draft"
        body["automatically_finalizes_at"] = call.now + _AUTOMATIC_FINALIZATION_SECONDS if waits else None
        if body["status"] == "open":
            body["next_payment_attempt"] = call.now if advance else None
    _change_collection(call, body)
    call.save(body)
    return body


def _change_collection(call: Call, body: Json) -> None:
    methods = ("charge_automatically", "send_invoice")
    body["collection_method"] = call.params.one_of("collection_method", methods, body["collection_method"])
    days = call.params.integer("days_until_due")
    if body["collection_method"] == "charge_automatically":
        if days is not None or body["due_date"] is not None:
            message = "You can only specify days_until_due or due_date if collection_method is send_invoice."
            raise ApiError(message, param="days_until_due")
        return
    if days is not None:
        body["due_date"] = call.now + days * 86_400
    if body["due_date"] is None:
        message = "If collection_method is send_invoice, you must specify either days_until_due or due_date."
        raise ApiError(message, code="parameter_missing", param="days_until_due")


def _unused_number(call: Call, number: str) -> str:
    taken = call.store.newest("invoice", account=call.account, equal={"number": number}, limit=1)
    if taken and taken[0]["id"] not in call.path:
        raise state_error(f"The invoice number {number} is already in use.", param="number")
    return number
