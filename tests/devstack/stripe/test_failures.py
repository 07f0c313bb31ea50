"""Calls that fail before, during and after taking effect; kill -9 of either side; webhooks that are not taken."""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe

from tests.devstack.programs import Program, running
from tests.devstack.stripe.conftest import Receiver
from tests.devstack.stripe.factories import a_charge, a_customer, an_account, an_invoice

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

PAY = "POST /v1/invoices/*/pay"


def _fault(control: httpx.Client, mode: str, **more: Any) -> None:
    control.post("/__faults", json={"match": PAY, "mode": mode, **more}).raise_for_status()


def _charges(control: httpx.Client) -> int:
    return len([entry for entry in control.get("/__journal").json()["entries"] if entry["kind"] == "charge"])


@pytest.mark.parametrize(
    ("mode", "error", "charged", "status_of_retry"),
    [
        ("before", stripe.APIConnectionError, 0, 200),
        ("after", stripe.APIConnectionError, 1, 200),
        ("500", stripe.APIError, 0, 500),
        ("500_after", stripe.APIError, 1, 500),
        ("429", stripe.RateLimitError, 0, 200),
        ("409", stripe.StripeError, 0, 200),
    ],
)
async def test_a_call_fails_as_scripted_and_is_retried_with_the_same_key(
    client: stripe.StripeClient,
    control: httpx.Client,
    mode: str,
    error: type[stripe.StripeError],
    charged: int,
    status_of_retry: int,
) -> None:
    invoice = await an_invoice(client, await a_customer(client), 1000)
    assert invoice.id
    _fault(control, mode)
    with pytest.raises(error):
        await client.v1.invoices.pay_async(invoice.id, {}, {"idempotency_key": "once"})
    assert _charges(control) == charged
    if status_of_retry == 200:
        assert (
            await client.v1.invoices.pay_async(invoice.id, {}, {"idempotency_key": "once"})
        ).status == "paid"
    else:
        with pytest.raises(stripe.APIError):
            await client.v1.invoices.pay_async(invoice.id, {}, {"idempotency_key": "once"})
        now = await client.v1.invoices.retrieve_async(invoice.id)
        assert now.status == ("paid" if charged else "open")
    assert _charges(control) == (1 if status_of_retry == 200 else charged)


async def test_a_fault_lets_calls_pass_and_strikes_as_often_as_told(
    client: stripe.StripeClient, control: httpx.Client
) -> None:
    fault = {"match": "GET /v1/balance", "mode": "500", "times": 2, "skip": 1}
    control.post("/__faults", json=fault)
    outcomes = []
    for _ in range(4):
        try:
            await client.v1.balance.retrieve_async()
            outcomes.append("ok")
        except stripe.APIError:
            outcomes.append("500")
    assert outcomes == ["ok", "500", "500", "ok"]
    assert control.get("/__faults").json()["faults"][0]["fired"] == 2
    assert control.delete("/__faults").json()["faults"] == []
    assert control.post("/__faults", json={"match": PAY, "mode": "explode"}).status_code == 400


async def test_a_hanging_call_takes_effect_although_its_caller_gave_up(
    double: Program, control: httpx.Client
) -> None:
    control.post("/__faults", json={"match": "POST /v1/customers", "mode": "hang", "seconds": 0.6})
    headers = {"Authorization": "Bearer sk_test_x"}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{double.url}/v1/customers", data={"name": "Slow"}, headers=headers, timeout=0.2)
    await asyncio.sleep(1)
    listed = httpx.get(f"{double.url}/v1/customers", headers=headers).json()
    assert [customer["name"] for customer in listed["data"]] == ["Slow"]


async def test_the_clients_own_retries_charge_once_through_cut_connections(
    double: Program, control: httpx.Client, client: stripe.StripeClient
) -> None:
    invoice = await an_invoice(client, await a_customer(client), 1000)
    assert invoice.id
    _fault(control, "after", times=2)
    http = stripe.HTTPXClient(timeout=15)
    patient = stripe.StripeClient(
        "sk_test_x", http_client=http, base_addresses={"api": double.url}, max_network_retries=3
    )
    paid = await patient.v1.invoices.pay_async(invoice.id)
    await http.close_async()  # type: ignore[no-untyped-call]
    assert paid.status == "paid"
    assert _charges(control) == 1


async def test_everything_answered_is_there_after_kill_9(
    client: stripe.StripeClient, double: Program, control: httpx.Client
) -> None:
    charge = await a_charge(client, 1000)
    account = await an_account(client, double.url)
    transfer = await client.v1.transfers.create_async(
        {"amount": 900, "currency": "eur", "destination": account, "source_transaction": charge},
        {"idempotency_key": "t-1"},
    )
    journal = control.get("/__journal").json()
    double.kill()
    double.start()
    assert control.get("/__journal").json() == journal
    replayed = await client.v1.transfers.create_async(
        {"amount": 900, "currency": "eur", "destination": account, "source_transaction": charge},
        {"idempotency_key": "t-1"},
    )
    assert replayed.id == transfer.id
    assert (await client.v1.charges.retrieve_async(charge)).amount == 1000
    assert double.stop() == 0


async def test_kill_9_amid_payments_loses_and_doubles_nothing(
    client: stripe.StripeClient, double: Program, control: httpx.Client
) -> None:
    customer = await a_customer(client)
    invoices = [str((await an_invoice(client, customer, 1000 + n)).id) for n in range(12)]
    known: set[str] = set()

    def pay_all() -> None:
        headers = {"Authorization": "Bearer sk_test_x"}
        for invoice in invoices:
            try:
                keyed = {**headers, "Idempotency-Key": f"pay {invoice}"}
                answer = httpx.post(f"{double.url}/v1/invoices/{invoice}/pay", headers=keyed)
            except httpx.TransportError:
                return
            if answer.status_code == 200:
                known.add(invoice)

    payer = threading.Thread(target=pay_all)
    payer.start()
    while len(known) < 3:
        await asyncio.sleep(0.005)
    double.kill()
    payer.join()
    double.start()
    paid = {entry["invoice"] for entry in control.get("/__journal").json()["entries"]}
    assert known <= paid
    assert len(known) < len(invoices)
    pay_all()
    charged = [entry["invoice"] for entry in control.get("/__journal").json()["entries"]]
    assert sorted(charged) == sorted(invoices)


async def test_a_webhook_that_is_refused_comes_again_until_it_is_taken(
    client: stripe.StripeClient, receiver: Receiver, control: httpx.Client
) -> None:
    receiver.refuse = 2
    await client.v1.customers.create_async({"name": "A"})
    receiver.wait_for("customer.created")
    for _ in range(50):
        deliveries = control.get("/__webhooks", params={"state": "delivered"}).json()["deliveries"]
        if deliveries:
            break
        await asyncio.sleep(0.05)
    assert [(found["attempts"], found["outcome"]) for found in deliveries] == [(3, "200")]


async def test_events_survive_the_death_of_both_sides(
    client: stripe.StripeClient, double: Program, receiver: Receiver
) -> None:
    receiver.refuse = 1_000_000
    customer = await client.v1.customers.create_async({"name": "A"})
    double.kill()
    receiver.refuse = 0
    double.start()
    assert receiver.wait_for("customer.created")[0]["data"]["object"]["id"] == customer.id


async def test_duplicates_and_disorder_come_when_asked_for(
    client: stripe.StripeClient, receiver: Receiver, control: httpx.Client
) -> None:
    control.post("/__webhooks", json={"paused": True, "duplicates": 1}).raise_for_status()
    customer = await client.v1.customers.create_async({"name": "A"})
    await client.v1.customers.update_async(customer.id, {"name": "B"})
    time.sleep(0.3)
    assert receiver.events == []
    control.post("/__webhooks/release", json={"order": "reverse"})
    kinds = [event["type"] for event in receiver.events]
    assert kinds == ["customer.updated", "customer.updated", "customer.created", "customer.created"]
    assert receiver.events[0]["id"] == receiver.events[1]["id"]
    control.post("/__webhooks/resend", json={"event": receiver.events[0]["id"]})
    receiver.wait_for("customer.updated", times=4)
    assert control.post("/__webhooks", json={"colour": 1}).status_code == 400


async def test_money_put_on_the_balance_by_hand_is_in_the_journal(
    client: stripe.StripeClient, control: httpx.Client
) -> None:
    control.post("/__fund", json={"amount": 5000, "currency": "eur"}).raise_for_status()
    balance = await client.v1.balance.retrieve_async()
    assert balance.available[0].amount == 5000
    page = control.get("/__journal", params={"since": 0}).json()
    assert [(entry["kind"], entry["amount"]) for entry in page["entries"]] == [("topup", 5000)]
    assert control.get("/__journal", params={"since": page["next"]}).json()["entries"] == []


def test_the_platform_starts_with_money_of_its_own_just_once(tmp_path: Path) -> None:
    with running("devstack.stripe", tmp_path, "--opening-balance", "eur:700") as program:
        program.kill()
        program.start()
        entries = httpx.get(f"{program.url}/__journal").json()["entries"]
        assert [(entry["kind"], entry["amount"], entry["currency"]) for entry in entries] == [
            ("topup", 700, "eur")
        ]


async def test_a_charge_is_pending_until_it_settles(tmp_path: Path) -> None:
    arguments = ("--settlement-seconds", "172800", "--opening-balance", "none")
    with running("devstack.stripe", tmp_path, *arguments) as program:
        http = stripe.HTTPXClient(timeout=15)
        client = stripe.StripeClient("sk_test_x", http_client=http, base_addresses={"api": program.url})
        await a_charge(client, 1000)
        balance = await client.v1.balance.retrieve_async()
        assert (balance.available[0].amount, balance.pending[0].amount) == (0, 960)
        httpx.post(f"{program.url}/__clock", json={"advance_seconds": 172_801})
        balance = await client.v1.balance.retrieve_async()
        assert (balance.available[0].amount, balance.pending[0].amount) == (960, 0)
        await http.close_async()  # type: ignore[no-untyped-call]
