from __future__ import annotations

import asyncio

import pytest

from billing.clients.stripe import StripeUnavailable
from billing.domain.errors import CardDeclined, InvoiceNotPayable, PaymentFailed
from billing.domain.invoice import Invoice
from billing.usecases.mark_past_due import mark_past_due
from billing.usecases.reconcile import reconcile
from billing.usecases.refresh_invoice import refresh_invoice
from billing.usecases.send_invoice import send_invoice
from billing.usecases.send_next_invoice import send_next_invoice
from tests.billing.factories import CONSUMER, at
from tests.billing.scenario import GRACE, Scenario
from tests.support.fake_stripe import DECLINED
from tests.support.outbox import outbox_events

STEPS = ["create_customer", "create_invoice", "add_item", "finalize_invoice", "pay_invoice"]


@pytest.fixture
async def invoice(scenario: Scenario) -> Invoice:
    await scenario.sell("11-16")
    await scenario.cut_off("12-01", 1350)
    return (await scenario.invoices())[0]


async def _stripe_id(scenario: Scenario) -> str:
    return str((await scenario.invoices())[0].stripe_invoice_id)


async def test_paid_it_is_cash_a_share_and_a_fee(scenario: Scenario, invoice: Invoice) -> None:
    await scenario.attach_card()
    paid = await scenario.pay(invoice)
    assert (paid.status, paid.paid_at) == ("paid", at("12-01 09:30"))
    assert await scenario.trial() == {"cash": 3413, "provider_available": -3310, "platform_fee": -103}
    events = await outbox_events(scenario.db)
    assert [e["topic"] for e in events][-2:] == ["billing.invoice.v1", "billing.standing.v1"]
    assert events[-1]["payload"]["standing"] == "good"
    assert (await reconcile(scenario.db, scenario.stripe)).differences == ()


async def test_stripe_gets_our_rounded_amounts_line_by_line(scenario: Scenario, invoice: Invoice) -> None:
    stripe_id = await send_invoice(scenario.db, scenario.stripe, scenario.clock, invoice.id)
    assert [item.amount for item in scenario.stripe.items[stripe_id]] == [950, 563, 1900]
    assert scenario.stripe.invoices[stripe_id].total == invoice.total


async def test_paying_twice_and_at_once_charges_once(scenario: Scenario, invoice: Invoice) -> None:
    await scenario.attach_card()
    await asyncio.gather(*(scenario.pay(invoice) for _ in range(4)))
    await scenario.pay(invoice)
    assert scenario.stripe.effects("pay_invoice") == 1
    assert scenario.stripe.effects("create_invoice") == 1
    assert await scenario.count("ledger_transaction") == 2


async def test_a_declined_card_leaves_it_open_and_another_one_pays_it(
    scenario: Scenario, invoice: Invoice
) -> None:
    await scenario.attach_card(method=DECLINED)
    with pytest.raises(CardDeclined) as refusal:
        await scenario.pay(invoice)
    assert refusal.value.members["decline_code"] == "generic_decline"
    assert (await scenario.invoices())[0].status == "open"
    await scenario.attach_card()
    assert (await scenario.pay(invoice)).status == "paid"


async def test_without_a_payment_method_it_stays_open(scenario: Scenario, invoice: Invoice) -> None:
    with pytest.raises(PaymentFailed, match="Attach a payment method"):
        await scenario.pay(invoice)
    assert (await scenario.invoices())[0].status == "open"


@pytest.mark.parametrize("when", ["before", "after", "during"])
@pytest.mark.parametrize("operation", STEPS)
async def test_a_failure_before_during_or_after_any_request_charges_once(
    scenario: Scenario, invoice: Invoice, operation: str, when: str
) -> None:
    if operation != "create_customer":
        await scenario.attach_card()
    scenario.stripe.fail(operation, when)  # type: ignore[arg-type]
    with pytest.raises(StripeUnavailable):
        await scenario.pay(invoice)
    if operation == "create_customer":
        await scenario.attach_card()
    assert (await scenario.pay(invoice)).status == "paid"
    stripe = scenario.stripe
    assert [stripe.effects(name) for name in ("create_invoice", "add_item", "pay_invoice")] == [1, 3, 1]
    assert (await reconcile(scenario.db, stripe)).differences == ()
    assert await scenario.trial() == {"cash": 3413, "provider_available": -3310, "platform_fee": -103}


async def test_a_crash_after_the_charge_is_found_and_booked_once(
    scenario: Scenario, invoice: Invoice
) -> None:
    await scenario.attach_card()
    stripe_id = await send_invoice(scenario.db, scenario.stripe, scenario.clock, invoice.id)
    scenario.stripe.pay(stripe_id)  # charged, and the process died before it could tell anybody
    assert (await reconcile(scenario.db, scenario.stripe)).differences == (
        "invoice MP-000001 is open here and paid at Stripe",
    )
    await scenario.pay(invoice)
    assert (await reconcile(scenario.db, scenario.stripe)).differences == ()
    assert scenario.stripe.effects("pay_invoice") == 0


async def test_the_worker_brings_invoices_to_stripe_and_waits_after_a_failure(
    scenario: Scenario, invoice: Invoice
) -> None:
    scenario.stripe.fail("create_invoice", "before")
    assert await send_next_invoice(scenario.db, scenario.stripe, scenario.clock)
    assert not await send_next_invoice(scenario.db, scenario.stripe, scenario.clock)  # not yet again
    scenario.clock.advance(seconds=2)
    assert await send_next_invoice(scenario.db, scenario.stripe, scenario.clock)
    assert not await send_next_invoice(scenario.db, scenario.stripe, scenario.clock)
    (made,) = scenario.stripe.invoices.values()
    assert (made.status, made.invoice_id) == ("open", invoice.id)


async def test_two_workers_bring_it_once(scenario: Scenario, invoice: Invoice) -> None:
    await asyncio.gather(*(send_next_invoice(scenario.db, scenario.stripe, scenario.clock) for _ in range(3)))
    assert scenario.stripe.effects("create_invoice") == 1


async def test_paid_elsewhere_it_is_booked_however_often_it_is_told(
    scenario: Scenario, invoice: Invoice
) -> None:
    stripe_id = await send_invoice(scenario.db, scenario.stripe, scenario.clock, invoice.id)
    scenario.stripe.pay(stripe_id)
    for _ in range(3):
        await refresh_invoice(scenario.db, scenario.stripe, scenario.clock, stripe_id, grace=GRACE)
    assert (await scenario.invoices())[0].status == "paid"
    assert await scenario.count("ledger_transaction") == 2


async def test_a_void_invoice_is_taken_out_of_the_books(scenario: Scenario, invoice: Invoice) -> None:
    stripe_id = await send_invoice(scenario.db, scenario.stripe, scenario.clock, invoice.id)
    scenario.stripe.close(stripe_id, "void")
    for _ in range(2):
        await refresh_invoice(scenario.db, scenario.stripe, scenario.clock, stripe_id, grace=GRACE)
    assert await scenario.trial() == {}
    (standing,) = await outbox_events(scenario.db, "billing.standing.v1")
    assert standing["payload"]["standing"] == "good"
    with pytest.raises(InvoiceNotPayable):
        await scenario.pay(invoice)
    assert (await reconcile(scenario.db, scenario.stripe)).differences == ()


async def test_an_invoice_that_was_given_up_stays_a_receivable(scenario: Scenario, invoice: Invoice) -> None:
    stripe_id = await send_invoice(scenario.db, scenario.stripe, scenario.clock, invoice.id)
    scenario.stripe.close(stripe_id, "uncollectible")
    await refresh_invoice(scenario.db, scenario.stripe, scenario.clock, stripe_id, grace=GRACE)
    assert (await scenario.invoices())[0].status == "uncollectible"
    assert (await scenario.trial())["receivable"] == 3413


async def test_who_does_not_pay_is_past_due_and_paying_mends_it(scenario: Scenario, invoice: Invoice) -> None:
    async def mark() -> bool:
        async with scenario.db.begin() as session:
            return await mark_past_due(session, grace=GRACE, now=scenario.clock.now())

    assert not await mark()
    scenario.clock.advance(days=8)
    assert [await mark(), await mark()] == [True, False]
    await scenario.attach_card()
    await scenario.pay(invoice)
    standings = await outbox_events(scenario.db, "billing.standing.v1")
    assert [(e["payload"]["standing"], e["payload"]["version"]) for e in standings] == [
        ("past_due", 1),
        ("good", 2),
    ]
    assert standings[0]["key"] == str(CONSUMER)
