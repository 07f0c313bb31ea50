"""Invoices: what an invoice is made of, and the steps of its life."""

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

from devstack.stripe.call import Call
from devstack.stripe.cards import resolve_payment_method
from devstack.stripe.charging import cancel_intent, confirm, new_intent
from devstack.stripe.errors import ApiError, state_error
from devstack.stripe.events import emit
from devstack.stripe.forms import Params
from devstack.stripe.store import Json

MINIMUM_CHARGE = 50
_RETRY_SECONDS = 3 * 86_400
_AUTOMATIC_ATTEMPTS = 4


def line_amount(params: Params) -> tuple[int, str | None, int]:
    """Amount, unit amount and quantity of a line: an amount as given, or quantity times unit amount, half up."""
    quantity = params.integer("quantity")
    unit_amount = params.text("unit_amount_decimal")
    if "price_data" in params:
        price = params.hash("price_data")
        unit_amount = price.text("unit_amount_decimal") or str(price.required_integer("unit_amount"))
    if unit_amount is None:
        amount = params.integer("amount")
        if amount is None:
            raise ApiError(
                "You must pass an amount or a unit amount.",
                code="parameter_missing",
                param=params.name("amount"),
            )
        return amount, None, quantity or 1
    try:
        exact = Decimal(unit_amount) * (1 if quantity is None else quantity)
    except InvalidOperation as error:
        raise ApiError(f"Invalid decimal: {unit_amount}", param=params.name("unit_amount_decimal")) from error
    return int(exact.quantize(Decimal(1), ROUND_HALF_UP)), unit_amount, 1 if quantity is None else quantity


def add_line(call: Call, invoice: Json, item: Json) -> Json:
    """A line of the invoice made from an invoice item; the item belongs to the invoice from now on."""
    call.save({**item, "invoice": invoice["id"]})
    call.store.set_parent(item["id"], invoice["id"])
    fields = {
        "amount": item["amount"],
        "currency": item["currency"],
        "description": item["description"],
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": invoice["id"],
        "metadata": item["metadata"],
        "parent": {
            "invoice_item_details": {"invoice_item": item["id"], "proration": False, "subscription": None},
            "subscription_item_details": None,
            "type": "invoice_item_details",
        },
        "period": item["period"],
        "pretax_credit_amounts": [],
        "pricing": item["pricing"],
        "quantity": item["quantity"],
        "subscription": None,
        "subtotal": item["amount"],
        "taxes": [],
    }
    return call.create("il", "line_item", fields, parent=invoice["id"])


def with_totals(call: Call, invoice: Json) -> Json:
    """The invoice with its sums, as the lines and the customer's balance say now."""
    total = sum(line["amount"] for line in call.store.children(invoice["id"], "line_item"))
    customer = call.get("customer", invoice["customer"])
    owed = total + int(customer["balance"])
    # What is too small to charge (and what is owed to the customer) is carried over to the next invoice.
    due = owed if owed >= MINIMUM_CHARGE else 0
    invoice = {
        **invoice,
        "amount_due": due,
        "amount_remaining": due - invoice["amount_paid"],
        "starting_balance": customer["balance"],
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "total": total,
        "total_excluding_tax": total,
    }
    call.save(invoice)
    return invoice


def finalize(call: Call, invoice: Json) -> Json:
    """The invoice is open with a number and a payment that waits, or paid at once if nothing is due."""
    if invoice["status"] != "draft":
        raise state_error("This invoice is already finalized, you can't re-finalize a non-draft invoice.")
    invoice = with_totals(call, invoice)
    customer = call.get("customer", invoice["customer"])
    owed = invoice["total"] + customer["balance"]
    if invoice["number"] is None:
        sequence = customer["next_invoice_sequence"]
        invoice["number"] = f"{customer['invoice_prefix']}-{sequence:04d}"
        customer["next_invoice_sequence"] = sequence + 1
    customer |= {"balance": 0 if invoice["amount_due"] else owed, "currency": invoice["currency"]}
    call.save(customer)
    transitions = {**invoice["status_transitions"], "finalized_at": call.now}
    invoice |= {
        "automatically_finalizes_at": None,
        "effective_at": invoice["effective_at"] or call.now,
        "ending_balance": customer["balance"],
        "hosted_invoice_url": f"{call.config.base_url}/__pages/invoice/{invoice['id']}",
        "invoice_pdf": f"{call.config.base_url}/__pages/invoice/{invoice['id']}",
        "status": "open",
        "status_transitions": transitions,
    }
    if invoice["auto_advance"] and invoice["collection_method"] == "charge_automatically":
        invoice["next_payment_attempt"] = call.now
    call.save(invoice)
    emit(call, "invoice.finalized", invoice)
    if invoice["amount_due"] == 0:
        return _paid(call, invoice, amount_paid=0)
    intent = new_intent(
        call,
        amount=invoice["amount_due"],
        currency=invoice["currency"],
        customer=invoice["customer"],
        description=f"Payment for Invoice {invoice['number']}",
        metadata={},
    )
    _new_payment(call, invoice, intent)
    return invoice


def pay(call: Call, invoice: Json, *, payment_method: str | None, off_session: bool) -> Json:
    """The paid invoice; raises card_declined, with the attempt counted, if the card says no."""
    invoice = finalize(call, invoice) if invoice["status"] == "draft" else _payable(invoice)
    if invoice["status"] == "paid":
        return invoice
    card = _payment_method(call, invoice, payment_method)
    payment, intent = _open_payment(call, invoice)
    invoice |= {
        "attempted": True,
        "attempt_count": invoice["attempt_count"] + 1,
        "next_payment_attempt": None,
    }
    try:
        intent = confirm(call, intent, card, off_session=off_session, invoice=invoice["id"])
    except ApiError as refusal:
        if refusal.keeps_effects:
            _attempt_failed(call, invoice)
        raise
    if intent["status"] != "succeeded":
        call.save(invoice)
        emit(call, "invoice.payment_action_required", invoice)
        message = "This payment requires additional user action before it can be completed successfully."
        code = "invoice_payment_intent_requires_action"
        raise ApiError(message, code=code, stored=True, keeps_effects=True)
    transitions = {"canceled_at": None, "paid_at": call.now}
    payment |= {"amount_paid": intent["amount"], "status": "paid", "status_transitions": transitions}
    call.save(payment)
    emit(call, "invoice_payment.paid", payment)
    return _paid(call, invoice, amount_paid=intent["amount"])


def pay_out_of_band(call: Call, invoice: Json) -> Json:
    """Paid, without any money having moved through Stripe."""
    invoice = finalize(call, invoice) if invoice["status"] == "draft" else _payable(invoice)
    if invoice["status"] == "paid":
        return invoice
    _close_payment(call, invoice)
    invoice["amount_paid_off_stripe"] = invoice["amount_due"]
    return _paid(call, invoice, amount_paid=invoice["amount_due"])


def void(call: Call, invoice: Json) -> Json:
    if invoice["status"] not in ("open", "uncollectible"):
        raise _not_open(invoice)
    _close_payment(call, invoice)
    invoice = _moved_to(call, invoice, "void", "voided_at")
    invoice |= {"amount_remaining": 0, "next_payment_attempt": None}
    call.save(invoice)
    emit(call, "invoice.voided", invoice)
    return invoice


def mark_uncollectible(call: Call, invoice: Json) -> Json:
    if invoice["status"] != "open":
        raise _not_open(invoice)
    invoice = _moved_to(call, invoice, "uncollectible", "marked_uncollectible_at")
    emit(call, "invoice.marked_uncollectible", invoice)
    return invoice


def advance(call: Call, invoice: Json) -> None:
    """What Stripe does by itself to an invoice with auto_advance, if its time has come."""
    if invoice["status"] == "draft" and (invoice["automatically_finalizes_at"] or call.now + 1) <= call.now:
        finalize(call, invoice)
        return
    due = invoice["next_payment_attempt"]
    if invoice["status"] == "open" and due is not None and due <= call.now:
        try:
            pay(call, invoice, payment_method=None, off_session=True)
        except ApiError as refusal:
            if not refusal.keeps_effects:
                # Without a card there is nothing to try; the invoice stays open until somebody pays it.
                call.save({**invoice, "next_payment_attempt": None, "attempted": True})


def _payable(invoice: Json) -> Json:
    if invoice["status"] == "paid":
        raise state_error("Invoice is already paid")
    if invoice["status"] == "void":
        raise _not_open(invoice)
    return invoice


def _not_open(invoice: Json) -> ApiError:
    return state_error(
        f"You can only pass in open invoices. This invoice isn't open (it is {invoice['status']})."
    )


def _payment_method(call: Call, invoice: Json, name: str | None) -> Json:
    customer = call.get("customer", invoice["customer"])
    chosen = (
        name or invoice["default_payment_method"] or customer["invoice_settings"]["default_payment_method"]
    )
    if chosen is None:
        message = (
            "There is no `default_payment_method` set on this Customer or Invoice. "
            "Please set a default payment method or pass one."
        )
        raise state_error(message, code="resource_missing")
    return resolve_payment_method(call, chosen)


def _attempt_failed(call: Call, invoice: Json) -> None:
    if invoice["auto_advance"] and invoice["attempt_count"] < _AUTOMATIC_ATTEMPTS:
        invoice["next_payment_attempt"] = call.now + _RETRY_SECONDS
    call.save(invoice)
    emit(call, "invoice.payment_failed", invoice)


def _new_payment(call: Call, invoice: Json, intent: Json) -> Json:
    fields = {
        "amount_paid": None,
        "amount_requested": intent["amount"],
        "currency": intent["currency"],
        "invoice": invoice["id"],
        "is_default": True,
        "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
        "status": "open",
        "status_transitions": {"canceled_at": None, "paid_at": None},
    }
    return call.create("inpay", "invoice_payment", fields, parent=invoice["id"])


def _open_payment(call: Call, invoice: Json) -> tuple[Json, Json]:
    payment = next(
        found for found in call.store.children(invoice["id"], "invoice_payment") if found["status"] == "open"
    )
    return payment, call.get("payment_intent", payment["payment"]["payment_intent"])


def _close_payment(call: Call, invoice: Json) -> None:
    payment, intent = _open_payment(call, invoice)
    call.save(
        {**payment, "status": "canceled", "status_transitions": {"canceled_at": call.now, "paid_at": None}}
    )
    cancel_intent(call, intent, reason="void_invoice")


def _paid(call: Call, invoice: Json, *, amount_paid: int) -> Json:
    invoice = _moved_to(call, invoice, "paid", "paid_at")
    invoice |= {
        "amount_paid": amount_paid,
        "amount_remaining": 0,
        "attempted": True,
        "auto_advance": False,
        "next_payment_attempt": None,
    }
    call.save(invoice)
    emit(call, "invoice.paid", invoice)
    emit(call, "invoice.payment_succeeded", invoice)
    return invoice


def _moved_to(call: Call, invoice: Json, status: str, stamp: str) -> Json:
    transitions = {**invoice["status_transitions"], stamp: call.now}
    invoice = {**invoice, "status": status, "status_transitions": transitions}
    call.save(invoice)
    return invoice
