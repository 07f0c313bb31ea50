"""/v1/invoiceitems: lines to be."""

from devstack.stripe import invoicing
from devstack.stripe.call import Call
from devstack.stripe.errors import ApiError, state_error
from devstack.stripe.events import emit
from devstack.stripe.forms import Params
from devstack.stripe.rendering import page
from devstack.stripe.routing import PAGING, endpoint
from devstack.stripe.store import Json

LINE_FIELDS = "amount description metadata period quantity unit_amount_decimal price_data discountable"


def new_item(call: Call, params: Params, *, customer: str, currency: str) -> Json:
    """An invoice item that waits with its customer for an invoice."""
    amount, unit_amount, quantity = invoicing.line_amount(params)
    period = params.hash("period")
    start = period.required_integer("start") if "period" in params else call.now
    end = period.required_integer("end") if "period" in params else call.now
    if end < start:
        raise ApiError("The period ends before it starts.", param=period.name("end"))
    fields = {
        "amount": amount,
        "currency": currency,
        "customer": customer,
        "date": call.now,
        "description": params.text("description"),
        "discountable": True,
        "discounts": [],
        "invoice": None,
        "metadata": params.metadata({}),
        "net_amount": amount,
        "parent": None,
        "period": {"end": end, "start": start},
        "pricing": {"type": "price_details", "unit_amount_decimal": unit_amount} if unit_amount else None,
        "proration": False,
        "quantity": quantity,
        "quantity_decimal": str(quantity),
        "tax_rates": [],
        "test_clock": None,
    }
    return call.create("ii", "invoiceitem", fields, parent=customer)


@endpoint("POST", "/v1/invoiceitems", f"{LINE_FIELDS} customer currency invoice")
def create(call: Call) -> Json:
    params = call.params
    invoice = call.named("invoice", "invoice")
    if invoice and invoice["status"] != "draft":
        message = "The specified invoice can no longer be edited."
        raise state_error(message, code="invoice_not_editable", param="invoice")
    customer = call.get("customer", params.required("customer"), param="customer")
    if invoice and invoice["customer"] != customer["id"]:
        raise ApiError("The invoice belongs to another customer.", param="customer")
    currency = params.currency() or (invoice or customer)["currency"] or "eur"
    if invoice and invoice["currency"] != currency:
        message = f"The currency must be that of the invoice ({invoice['currency']})."
        raise ApiError(message, param="currency")
    item = new_item(call, params, customer=customer["id"], currency=currency)
    emit(call, "invoiceitem.created", item)
    if invoice:
        invoicing.add_line(call, invoice, item)
        invoicing.with_totals(call, invoice)
    return call.get("invoiceitem", item["id"])


@endpoint("GET", "/v1/invoiceitems/{id}")
def retrieve(call: Call) -> Json:
    return call.get("invoiceitem", call.path[0])


@endpoint("GET", "/v1/invoiceitems", f"{PAGING} created customer invoice pending")
def list_all(call: Call) -> Json:
    params = call.params
    if params.flag("pending"):
        customer = call.get("customer", params.required("customer"), param="customer")
        return page(call, "invoiceitem", "/v1/invoiceitems", parent=customer["id"])
    return page(
        call,
        "invoiceitem",
        "/v1/invoiceitems",
        parent=params.text("invoice"),
        equal={"customer": params.text("customer")},
    )


@endpoint("DELETE", "/v1/invoiceitems/{id}")
def delete(call: Call) -> Json:
    item = call.get("invoiceitem", call.path[0])
    if item["invoice"]:
        invoice = call.get("invoice", item["invoice"])
        if invoice["status"] != "draft":
            raise state_error("The invoice can no longer be edited.", code="invoice_not_editable")
        for line in call.store.children(invoice["id"], "line_item"):
            if line["parent"]["invoice_item_details"]["invoice_item"] == item["id"]:
                call.store.delete(line["id"])
        invoicing.with_totals(call, invoice)
    call.store.delete(item["id"])
    emit(call, "invoiceitem.deleted", item)
    return {"id": item["id"], "object": "invoiceitem", "deleted": True}
