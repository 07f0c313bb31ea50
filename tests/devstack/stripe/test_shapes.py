"""Answers have the fields that the official library's types name: none missing, none invented."""

from typing import Any

import pytest
import stripe

from tests.devstack.programs import Program
from tests.devstack.stripe.factories import a_charge, a_customer, an_account, an_invoice

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

# Fields that Stripe leaves out of most answers, although the types call them present.
_SOMETIMES = {
    "account": {"company", "controller", "individual", "groups"},
    "charge": {"fraud_details", "invoice", "application_fee"},
}


def _fields(kind: type[Any]) -> dict[str, bool]:
    """Every field of a resource, and whether its type says that it is always there."""
    found = {}
    for name in kind.__annotations__:
        if name.startswith("_") or name in ("OBJECT_NAME", "deleted"):
            continue
        found[name] = "Optional" not in str(kind.__annotations__[name])
    return found


def _check(body: Any) -> None:
    known = _fields(type(body))
    keys = set(body.to_dict())
    assert keys <= set(known), f"{body.object} has invented {sorted(keys - set(known))}"
    required = {name for name, always in known.items() if always} - _SOMETIMES.get(body.object, set())
    assert required <= keys, f"{body.object} lacks {sorted(required - keys)}"


async def test_every_object_has_the_fields_of_the_librarys_type(
    api: stripe.StripeClient, shared: Program
) -> None:
    customer = await a_customer(api)
    invoice = await an_invoice(api, customer, 1000)
    charge = await api.v1.charges.retrieve_async(await a_charge(api, 2000))
    account = await an_account(api, shared.url)
    transfer = await api.v1.transfers.create_async(
        {"amount": 900, "currency": "eur", "destination": account, "source_transaction": charge.id}
    )
    item = await api.v1.invoice_items.create_async({"customer": customer, "amount": 5, "currency": "eur"})
    objects: list[Any] = [
        await api.v1.customers.retrieve_async(customer),
        (await api.v1.payment_methods.list_async({"customer": customer})).data[0],
        invoice,
        invoice.lines.data[0],
        item,
        (await api.v1.invoice_payments.list_async({"invoice": str(invoice.id)})).data[0],
        await api.v1.payment_intents.retrieve_async(str(charge.payment_intent)),
        charge,
        await api.v1.balance_transactions.retrieve_async(str(charge.balance_transaction)),
        await api.v1.refunds.create_async({"charge": charge.id, "amount": 1}),
        await api.v1.accounts.retrieve_async(account),
        transfer,
        await api.v1.transfers.reversals.create_async(transfer.id, {"amount": 1}),
        await api.v1.balance.retrieve_async(),
        (await api.v1.events.list_async()).data[0],
        await api.v1.setup_intents.create_async({"customer": customer}),
        await api.v1.billing_portal.sessions.create_async({"customer": customer}),
    ]
    problems = []
    for body in objects:
        try:
            _check(body)
        except AssertionError as error:
            problems.append(str(error).splitlines()[0])
    assert not problems, "\n".join(problems)
