import httpx
import pytest
import stripe

from tests.devstack.programs import Program
from tests.devstack.stripe.conftest import Receiver
from tests.devstack.stripe.factories import a_charge, a_customer, an_account, an_invoice

# The official client still sends bodies in a way that its HTTP library deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


async def test_an_invoice_is_paid_and_the_provider_gets_its_share(
    client: stripe.StripeClient, double: Program, receiver: Receiver, control: httpx.Client
) -> None:
    customer = await a_customer(client)
    invoice = await an_invoice(client, customer, 1900, 450)
    assert (invoice.status, invoice.amount_due, invoice.number is not None) == ("open", 2350, True)
    assert [line.amount for line in invoice.lines.data] == [1900, 450]
    assert invoice.id
    paid = await client.v1.invoices.pay_async(
        invoice.id, {"expand": ["payments.data.payment.payment_intent"]}
    )
    assert (paid.status, paid.amount_paid, paid.amount_remaining) == ("paid", 2350, 0)
    assert receiver.wait_for("invoice.paid")[0]["data"]["object"]["id"] == invoice.id

    assert paid.payments
    intent = paid.payments.data[0].payment.payment_intent
    assert isinstance(intent, stripe.PaymentIntent)
    account = await an_account(client, double.url)
    assert receiver.wait_for("account.updated")[0]["account"] == account
    transfer = await client.v1.transfers.create_async(
        {
            "amount": 2280,
            "currency": "eur",
            "destination": account,
            "source_transaction": str(intent.latest_charge),
            "metadata": {"statement": "s-1"},
        }
    )
    receiver.wait_for("transfer.created")
    theirs = await client.v1.balance.retrieve_async(options={"stripe_account": account})
    assert theirs.available[0].amount == 2280
    ours = await client.v1.balance.retrieve_async()
    assert ours.available[0].amount == 2350 - (35 + 25) - 2280

    entries = control.get("/__journal").json()["entries"]
    assert [(entry["kind"], entry["amount"]) for entry in entries] == [("charge", 2350), ("transfer", 2280)]
    assert entries[0]["invoice"] == invoice.id
    assert entries[1]["id"] == transfer.id
    assert entries[1]["metadata"] == {"statement": "s-1"}


async def test_nothing_due_is_paid_by_finalizing(api: stripe.StripeClient) -> None:
    invoice = await an_invoice(api, await a_customer(api), 500, -500)
    assert (invoice.status, invoice.amount_due) == ("paid", 0)
    assert invoice.id
    with pytest.raises(stripe.InvalidRequestError, match="already paid"):
        await api.v1.invoices.pay_async(invoice.id)


async def test_what_is_too_small_to_charge_waits_for_the_next_invoice(api: stripe.StripeClient) -> None:
    customer = await a_customer(api)
    small = await an_invoice(api, customer, 30)
    assert (small.status, small.amount_due, small.ending_balance) == ("paid", 0, 30)
    following = await an_invoice(api, customer, 1000)
    assert (following.total, following.starting_balance, following.amount_due) == (1000, 30, 1030)


async def test_a_declined_card_leaves_the_invoice_open_and_says_why(
    client: stripe.StripeClient, receiver: Receiver, control: httpx.Client
) -> None:
    invoice = await an_invoice(client, await a_customer(client, "pm_card_chargeCustomerFail"), 1000)
    assert invoice.id
    with pytest.raises(stripe.CardError) as caught:
        await client.v1.invoices.pay_async(invoice.id)
    assert caught.value.http_status == 402
    assert caught.value.code == "card_declined"
    assert caught.value.error
    assert caught.value.error.decline_code == "generic_decline"
    now = await client.v1.invoices.retrieve_async(invoice.id)
    assert (now.status, now.attempt_count, now.attempted, now.amount_remaining) == ("open", 1, True, 1000)
    assert receiver.wait_for("invoice.payment_failed")[0]["data"]["object"]["attempt_count"] == 1
    assert control.get("/__journal").json()["entries"] == []
    again = await client.v1.invoices.pay_async(invoice.id, {"payment_method": "pm_card_visa"})
    assert (again.status, again.attempt_count) == ("paid", 2)


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
        ("pm_card_authenticationRequired", "authentication_required", "authentication_required"),
    ],
)
async def test_each_test_card_meets_its_fate(
    api: stripe.StripeClient, card: str, code: str, decline_code: str
) -> None:
    invoice = await an_invoice(api, await a_customer(api), 1000)
    assert invoice.id
    with pytest.raises(stripe.CardError) as caught:
        await api.v1.invoices.pay_async(invoice.id, {"payment_method": card})
    assert caught.value.error
    assert (caught.value.code, caught.value.error.decline_code) == (code, decline_code)


async def test_a_card_that_is_always_declined_cannot_be_attached(api: stripe.StripeClient) -> None:
    customer = await a_customer(api, card=None)
    with pytest.raises(stripe.CardError):
        await api.v1.payment_methods.attach_async("pm_card_chargeDeclined", {"customer": customer})


async def test_a_customer_without_a_card_cannot_pay(api: stripe.StripeClient) -> None:
    invoice = await an_invoice(api, await a_customer(api, card=None), 1000)
    assert invoice.id
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await api.v1.invoices.pay_async(invoice.id)
    assert caught.value.code == "resource_missing"
    offline = await api.v1.invoices.pay_async(invoice.id, {"paid_out_of_band": True})
    assert (offline.status, offline.amount_paid_off_stripe) == ("paid", 1000)


async def test_invoice_states_allow_only_their_own_steps(api: stripe.StripeClient) -> None:
    customer = await a_customer(api)
    draft = await an_invoice(api, customer, 1000, finalize=False)
    assert draft.id
    for forbidden in (api.v1.invoices.void_invoice_async, api.v1.invoices.mark_uncollectible_async):
        with pytest.raises(stripe.InvalidRequestError):
            await forbidden(draft.id)
    assert (await api.v1.invoices.delete_async(draft.id)).deleted
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await api.v1.invoices.retrieve_async(draft.id)
    assert (caught.value.http_status, caught.value.code) == (404, "resource_missing")

    opened = await an_invoice(api, customer, 1000)
    assert opened.id
    for change in (
        api.v1.invoices.delete_async(opened.id),
        api.v1.invoices.add_lines_async(opened.id, {"lines": [{"amount": 1}]}),
        api.v1.invoices.finalize_invoice_async(opened.id),
        api.v1.invoices.update_async(opened.id, {"description": "late"}),
        api.v1.invoice_items.create_async({"customer": customer, "invoice": opened.id, "amount": 1}),
    ):
        with pytest.raises(stripe.InvalidRequestError):
            await change
    assert (await api.v1.invoices.mark_uncollectible_async(opened.id)).status == "uncollectible"
    assert (await api.v1.invoices.void_invoice_async(opened.id)).status == "void"
    with pytest.raises(stripe.InvalidRequestError):
        await api.v1.invoices.pay_async(opened.id)


async def test_pending_items_go_onto_the_next_invoice_when_asked(api: stripe.StripeClient) -> None:
    customer = await a_customer(api)
    item = {"customer": customer, "currency": "eur", "unit_amount_decimal": "0.25", "quantity": 150}
    made = await api.v1.invoice_items.create_async(item)  # type: ignore[arg-type]
    assert made.amount == 38
    params: stripe.params.InvoiceCreateParams = {
        "customer": customer,
        "pending_invoice_items_behavior": "include",
    }
    invoice = await api.v1.invoices.create_async(params)
    assert invoice.id
    assert invoice.total == 38
    lines = await api.v1.invoices.line_items.list_async(invoice.id)
    assert [line.amount for line in lines.data] == [38]
    assert (await api.v1.invoice_items.retrieve_async(made.id)).invoice == invoice.id


async def test_our_own_invoice_number_is_taken_once(api: stripe.StripeClient) -> None:
    customer = await a_customer(api)
    first = await api.v1.invoices.create_async({"customer": customer, "number": "M-2026-1"})
    assert first.number == "M-2026-1"
    with pytest.raises(stripe.InvalidRequestError):
        await api.v1.invoices.create_async({"customer": customer, "number": "M-2026-1"})


async def test_an_invoice_that_advances_by_itself_is_collected_when_its_time_comes(
    client: stripe.StripeClient, receiver: Receiver, control: httpx.Client
) -> None:
    invoice = await an_invoice(client, await a_customer(client), 1000, finalize=False)
    assert invoice.id
    await client.v1.invoices.update_async(invoice.id, {"auto_advance": True})
    control.post("/__clock", json={"advance_seconds": 3700})
    receiver.wait_for("invoice.finalized")
    assert receiver.wait_for("invoice.paid")[0]["data"]["object"]["id"] == invoice.id


async def test_refunds_stop_at_the_amount_of_the_charge(
    api: stripe.StripeClient, shared_control: httpx.Client
) -> None:
    charge = await a_charge(api, 1000)
    refund = await api.v1.refunds.create_async({"charge": charge, "amount": 400, "reason": "duplicate"})
    assert (refund.status, refund.amount) == ("succeeded", 400)
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded"):
        await api.v1.refunds.create_async({"charge": charge, "amount": 601})
    await api.v1.refunds.create_async({"charge": charge})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await api.v1.refunds.create_async({"charge": charge})
    assert caught.value.code == "charge_already_refunded"
    now = await api.v1.charges.retrieve_async(charge, {"expand": ["refunds"]})
    assert (now.amount_refunded, now.refunded) == (1000, True)
    assert now.refunds
    assert [found.amount for found in now.refunds.data] == [600, 400]
    entries = shared_control.get("/__journal").json()["entries"]
    assert [entry["amount"] for entry in entries if entry.get("charge") == charge] == [400, 600]


async def test_transfers_need_an_onboarded_account_and_money(
    api: stripe.StripeClient, shared: Program
) -> None:
    charge = await a_charge(api, 1000)
    fresh = await an_account(api, shared.url, onboarded=False)
    params: stripe.params.TransferCreateParams = {"amount": 900, "currency": "eur", "destination": fresh}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await api.v1.transfers.create_async({**params, "source_transaction": charge})
    assert caught.value.code == "insufficient_capabilities_for_transfer"
    account = await an_account(api, shared.url)
    params["destination"] = account
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await api.v1.transfers.create_async({**params, "amount": 10_000_000})
    assert caught.value.code == "balance_insufficient"
    await api.v1.transfers.create_async({**params, "source_transaction": charge})
    with pytest.raises(stripe.InvalidRequestError, match="100 of 1000 is left"):
        await api.v1.transfers.create_async({**params, "amount": 101, "source_transaction": charge})


async def test_a_reversal_takes_back_no_more_than_the_transfer(
    api: stripe.StripeClient, shared: Program
) -> None:
    account = await an_account(api, shared.url)
    transfer = await api.v1.transfers.create_async(
        {
            "amount": 900,
            "currency": "eur",
            "destination": account,
            "source_transaction": await a_charge(api, 1000),
        }
    )
    await api.v1.transfers.reversals.create_async(transfer.id, {"amount": 300})
    with pytest.raises(stripe.InvalidRequestError, match="greater than unreversed"):
        await api.v1.transfers.reversals.create_async(transfer.id, {"amount": 601})
    await api.v1.transfers.reversals.create_async(transfer.id)
    now = await api.v1.transfers.retrieve_async(transfer.id)
    assert (now.amount_reversed, now.reversed) == (900, True)
    assert [reversal.amount for reversal in now.reversals.data] == [600, 300]
    balance = await api.v1.balance.retrieve_async(options={"stripe_account": account})
    assert balance.available[0].amount == 0


async def test_a_provider_is_onboarded_through_the_hosted_page(
    client: stripe.StripeClient, double: Program, receiver: Receiver
) -> None:
    account = await an_account(client, double.url, onboarded=False)
    before = await client.v1.accounts.retrieve_async(account)
    assert (before.charges_enabled, before.payouts_enabled, before.details_submitted) == (False, False, False)
    assert before.requirements
    assert before.requirements.currently_due
    with pytest.raises(stripe.InvalidRequestError):
        await client.v1.accounts.login_links.create_async(account)
    link = await client.v1.account_links.create_async(
        {
            "account": account,
            "type": "account_onboarding",
            "refresh_url": "http://localhost/refresh",
            "return_url": "http://localhost/done",
        }
    )
    assert "Submit everything" in httpx.get(link.url).text
    back = httpx.post(link.url)
    assert (back.status_code, back.headers["location"]) == (303, "http://localhost/done")
    after = await client.v1.accounts.retrieve_async(account)
    assert (after.charges_enabled, after.payouts_enabled) == (True, True)
    updated = receiver.wait_for("account.updated")[0]
    assert updated["data"]["previous_attributes"]["payouts_enabled"] is False
    assert (await client.v1.accounts.login_links.create_async(account)).url.startswith(double.url)
    httpx.post(f"{double.url}/__accounts/{account}/restrict")
    assert (await client.v1.accounts.retrieve_async(account)).payouts_enabled is False


async def test_portal_session_setup_intent_and_detaching(api: stripe.StripeClient) -> None:
    customer = await a_customer(api, card=None)
    session = await api.v1.billing_portal.sessions.create_async(
        {"customer": customer, "return_url": "http://x/"}
    )
    assert "Portal" in httpx.get(session.url).text
    intent = await api.v1.setup_intents.create_async(
        {"customer": customer, "payment_method": "pm_card_visa", "confirm": True}
    )
    assert intent.status == "succeeded"
    methods = await api.v1.payment_methods.list_async({"customer": customer, "type": "card"})
    assert [method.id for method in methods.data] == [intent.payment_method]
    detached = await api.v1.payment_methods.detach_async(methods.data[0].id)
    assert detached.customer is None


async def test_a_payment_intent_of_its_own_can_be_confirmed_and_cancelled(api: stripe.StripeClient) -> None:
    customer = await a_customer(api)
    params: stripe.params.PaymentIntentCreateParams = {
        "amount": 1000,
        "currency": "EUR",
        "customer": customer,
    }
    intent = await api.v1.payment_intents.create_async(params)
    assert (intent.status, intent.currency) == ("requires_payment_method", "eur")
    done = await api.v1.payment_intents.confirm_async(intent.id, {"payment_method": "pm_card_visa"})
    assert done.status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await api.v1.payment_intents.cancel_async(intent.id)
    assert caught.value.code == "payment_intent_unexpected_state"
    challenged = await api.v1.payment_intents.create_async(
        {**params, "payment_method": "pm_card_authenticationRequired", "confirm": True}
    )
    assert challenged.status == "requires_action"
    assert (await api.v1.payment_intents.cancel_async(challenged.id)).status == "canceled"
