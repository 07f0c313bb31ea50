from __future__ import annotations

import json
import time
from typing import Any

import pytest
import stripe as library
from sqlalchemy import text

from billing.consumers.usage import UsageEvent, on_usage
from billing.db.runs import InvoiceRun
from billing.usecases.process_webhook import process_webhook
from billing.usecases.send_next_invoice import send_next_invoice
from tests.billing.api.conftest import WEBHOOK_SECRET, Api
from tests.billing.factories import API, CONSUMER, PLAN, SUBSCRIPTION, an_id, at
from tests.billing.scenario import GRACE, Scenario
from tests.support.fake_stripe import DECLINED

CARD = {"payment_method_id": "pm_card_visa"}
ADDRESS = {
    "legal_name": "Acme Ltd", "email": "books@acme.test", "line1": "1 Main Street", "line2": None,
    "postal_code": "10115", "city": "Berlin", "country": "DE", "tax_id": None,
}  # fmt: skip


@pytest.fixture
async def invoice(api: Api, scenario: Scenario) -> dict[str, Any]:
    await scenario.sell("11-16")
    await scenario.cut_off("12-01", 1350)
    items: list[dict[str, Any]] = (await api.call("consumer", "GET", "/v1/invoices")).json()["items"]
    return items[0]


def _event(kind: str, object_id: str | None, number: int = 1) -> str:
    data = {"object": {"id": object_id} if object_id else {}}
    return json.dumps({"id": f"evt_{number}", "type": kind, "created": int(time.time()), "data": data})


async def _deliver(api: Api, body: str, *, secret: str = WEBHOOK_SECRET, age: int = 0) -> int:
    header = library.WebhookSignature.generate_signature_header(
        body, secret, timestamp=int(time.time()) - age
    )
    answer = await api.call(
        None, "POST", "/v1/webhooks/stripe", content=body, headers={"Stripe-Signature": str(header)}
    )
    return answer.status_code


async def _process(scenario: Scenario) -> int:
    done = 0
    while await process_webhook(scenario.db, scenario.stripe, scenario.clock, grace=GRACE):
        done += 1
    return done


async def test_a_run_is_asked_for_and_looked_at(api: Api, scenario: Scenario) -> None:
    await scenario.sell("11-01")
    body = {"until": "2026-11-15T12:00:00Z"}
    answer = await api.call("admin", "POST", "/v1/invoice-runs", json=body)
    assert answer.status_code == 202
    run = answer.json()
    assert (run["status"], run["invoice_ids"]) == ("waiting", [])
    again = await api.call("admin", "POST", "/v1/invoice-runs", json={"until": "2026-11-15T13:00:00+01:00"})
    assert again.json()["id"] == run["id"]
    known = InvoiceRun(run["id"], None, at("11-15 12:00"), "waiting", at("11-15 12:00"))
    await scenario.meter(known, 300)
    await scenario.work()
    done = (await api.call("admin", "GET", f"/v1/invoice-runs/{run['id']}")).json()
    assert done["status"] == "done"
    (invoice_id,) = done["invoice_ids"]
    shown = (await api.call("consumer", "GET", f"/v1/invoices/{invoice_id}")).json()
    assert [(line["kind"], line["amount"]) for line in shown["lines"]] == [
        ("fixed_fee", 1900),
        ("usage", 100),
    ]


async def test_by_default_the_month_before_is_cut_off(api: Api) -> None:
    run = (await api.call("admin", "POST", "/v1/invoice-runs", json={})).json()
    assert run["until"] == "2026-11-01T00:00:00Z"


async def test_the_future_and_unknown_runs_are_refused(api: Api) -> None:
    late = await api.call("admin", "POST", "/v1/invoice-runs", json={"until": "2026-11-16T00:00:00Z"})
    assert (late.status_code, late.json()["code"]) == (422, "CUTOFF_IN_FUTURE")
    unknown = await api.call("admin", "GET", f"/v1/invoice-runs/{an_id(5)}")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "INVOICE_RUN_NOT_FOUND")


async def test_a_line_shows_how_its_amount_came_about(invoice: dict[str, Any]) -> None:
    usage = invoice["lines"][1]
    assert {name: usage[name] for name in ("kind", "subscription_id", "from", "until", "quantity", "amount")} == {
        "kind": "usage", "subscription_id": str(SUBSCRIPTION), "from": "2026-11-16T00:00:00Z",
        "until": "2026-12-01T00:00:00Z", "quantity": 1250, "amount": 563,
    }  # fmt: skip
    assert usage["unit_price"] is None
    assert [step["step"] for step in usage["trace"]] == ["metered", "included", "tier", "tier", "rounded"]
    assert usage["trace"][0]["billable_calls"] == 1350
    assert invoice["total"] == invoice["subtotal"] == sum(line["amount"] for line in invoice["lines"]) == 3413


async def test_an_invoice_is_paid_and_every_account_agrees(api: Api, invoice: dict[str, Any]) -> None:
    assert (await api.call("provider", "GET", "/v1/balance")).json() == {
        "EUR": {"pending": 3310, "available": 0, "in_transit": 0, "paid_out": 0, "fee": 0}
    }
    assert (await api.call("consumer", "POST", "/v1/payment-methods", json=CARD)).status_code == 201
    paid = await api.call("consumer", "POST", f"/v1/invoices/{invoice['id']}/pay")
    assert (paid.status_code, paid.json()["status"], paid.json()["amount_due"]) == (200, "paid", 0)
    again = await api.call("consumer", "POST", f"/v1/invoices/{invoice['id']}/pay")
    assert again.json() == paid.json()
    assert (await api.call("provider", "GET", "/v1/balance")).json() == {
        "EUR": {"pending": 0, "available": 3310, "in_transit": 0, "paid_out": 0, "fee": 103}
    }
    trial = (await api.call("admin", "GET", "/v1/ledger/trial-balance")).json()
    assert (trial["EUR"]["debit"], trial["EUR"]["credit"]) == (3413, 3413)
    assert {a["name"]: a["balance"] for a in trial["EUR"]["accounts"] if a["balance"]} == {
        "cash": 3413, "provider_available": -3310, "platform_fee": -103,
    }  # fmt: skip
    entries = (
        await api.call("admin", "GET", f"/v1/ledger/entries?invoice_id={invoice['id']}&limit=100")
    ).json()
    assert sum(entry["amount"] for entry in entries["items"]) == 0
    assert {entry["kind"] for entry in entries["items"]} == {"invoice_issued", "invoice_paid"}


async def test_a_declined_card_is_402_and_the_invoice_stays_open(api: Api, invoice: dict[str, Any]) -> None:
    await api.call("consumer", "POST", "/v1/payment-methods", json={"payment_method_id": DECLINED})
    answer = await api.call("consumer", "POST", f"/v1/invoices/{invoice['id']}/pay")
    assert (answer.status_code, answer.json()["code"]) == (402, "CARD_DECLINED")
    assert answer.json()["decline_code"] == "generic_decline"
    shown = (await api.call("consumer", "GET", f"/v1/invoices/{invoice['id']}")).json()
    assert (shown["status"], shown["amount_due"]) == ("open", 3413)


async def test_stripe_away_is_503_and_the_next_try_charges_once(
    api: Api, invoice: dict[str, Any], scenario: Scenario
) -> None:
    await api.call("consumer", "POST", "/v1/payment-methods", json=CARD)
    scenario.stripe.fail("pay_invoice", "after")
    answer = await api.call("consumer", "POST", f"/v1/invoices/{invoice['id']}/pay")
    assert (answer.status_code, answer.json()["code"]) == (503, "STRIPE_UNAVAILABLE")
    assert (await api.call("consumer", "POST", f"/v1/invoices/{invoice['id']}/pay")).status_code == 200
    assert scenario.stripe.effects("pay_invoice") == 1


async def test_a_card_number_is_never_taken(api: Api) -> None:
    answer = await api.call(
        "consumer", "POST", "/v1/payment-methods", json={"payment_method_id": "4242424242424242"}
    )
    assert answer.status_code == 422
    refused = await api.call(
        "consumer", "POST", "/v1/payment-methods", json={"payment_method_id": "pm_unknown"}
    )
    assert (refused.status_code, refused.json()["code"]) == (422, "PAYMENT_METHOD_REFUSED")


async def test_the_address_is_kept_and_two_editors_do_not_overwrite_each_other(api: Api) -> None:
    path = "/v1/billing-account"
    assert (await api.call("consumer", "GET", path)).json() == {
        "standing": "good", "address": None, "payment_method": None,
    }  # fmt: skip
    first = await api.call("consumer", "PUT", path, json=ADDRESS)
    assert (first.status_code, first.json()["address"]) == (200, ADDRESS)
    tag = {"If-Match": first.headers["ETag"]}
    moved = ADDRESS | {"city": "Hamburg"}
    assert (await api.call("consumer", "PUT", path, json=moved, headers=tag)).status_code == 200
    late = await api.call("consumer", "PUT", path, json=ADDRESS, headers=tag)
    assert (late.status_code, late.json()["code"]) == (412, "PRECONDITION_FAILED")
    assert (await api.call("consumer", "GET", path)).json()["address"]["city"] == "Hamburg"
    assert (await api.call("stranger", "GET", path)).json()["address"] is None


async def test_the_upcoming_invoice_follows_the_usage_published_so_far(api: Api, scenario: Scenario) -> None:
    await scenario.sell("11-01")
    day = UsageEvent(
        subscription_id=SUBSCRIPTION, plan_version_id=PLAN, organisation_id=CONSUMER, api_id=API,
        date=at("11-14").date(), version=1, calls=320, billable_calls=300, units=300,
    )  # fmt: skip
    async with scenario.db.begin() as session:
        await on_usage(session, day, now=scenario.clock.now())
    (upcoming,) = (await api.call("consumer", "GET", "/v1/invoices/upcoming")).json()["items"]
    assert (upcoming["currency"], upcoming["total"]) == ("EUR", 2000)
    assert [(line["kind"], line["quantity"]) for line in upcoming["lines"]] == [
        ("fixed_fee", 1),
        ("usage", 200),
    ]
    assert (await api.call("stranger", "GET", "/v1/invoices/upcoming")).json()["items"] == []


async def test_invoices_come_in_pages(api: Api, scenario: Scenario) -> None:
    await scenario.sell("11-01", included_requests=0)
    for day, calls in ((10, 100), (11, 200), (12, 300)):
        await scenario.cut_off(f"11-{day}", calls)
    first = (await api.call("consumer", "GET", "/v1/invoices?limit=2")).json()
    second = (await api.call("consumer", "GET", f"/v1/invoices?limit=2&cursor={first['next_cursor']}")).json()
    numbers = [item["number"] for item in (*first["items"], *second["items"])]
    assert numbers == ["MP-000003", "MP-000002", "MP-000001"]
    assert second["next_cursor"] is None
    assert (await api.call("consumer", "GET", "/v1/invoices?cursor=nonsense")).status_code == 422


async def test_a_provider_opens_an_account_and_follows_a_link(api: Api, scenario: Scenario) -> None:
    assert (await api.call("provider", "GET", "/v1/connect/account")).json()[
        "code"
    ] == "CONNECT_ACCOUNT_NOT_FOUND"
    assert (await api.call("provider", "POST", "/v1/connect/onboarding-link")).status_code == 404
    refused = await api.call("provider", "POST", "/v1/connect/account", json={"country": "ZZ"})
    assert (refused.status_code, refused.json()["code"]) == (422, "COUNTRY_REFUSED")
    made = await api.call("provider", "POST", "/v1/connect/account", json={"country": "DE"})
    assert (made.status_code, made.json()["payouts_enabled"], made.json()["requirements"]) == (
        201,
        False,
        ["iban"],
    )
    link = await api.call("provider", "POST", "/v1/connect/onboarding-link")
    assert (link.status_code, link.json()["url"].startswith("https://")) == (201, True)
    account_id = made.json()["account_id"]
    scenario.stripe.onboard(account_id)
    assert await _deliver(api, _event("account.updated", account_id)) == 200
    await _process(scenario)
    assert (await api.call("provider", "GET", "/v1/connect/account")).json()["payouts_enabled"] is True
    assert (await api.call("provider", "GET", "/v1/payouts")).json() == {"items": [], "next_cursor": None}


async def test_a_webhook_is_stored_first_and_acted_on_afterwards(
    api: Api, invoice: dict[str, Any], scenario: Scenario
) -> None:
    await send_next_invoice(scenario.db, scenario.stripe, scenario.clock)
    (stripe_id,) = scenario.stripe.invoices
    scenario.stripe.pay(stripe_id)
    path = f"/v1/invoices/{invoice['id']}"
    # Twice, and out of order: an older event arrives after the newer one. Only the present state counts.
    for kind, number in (
        ("invoice.paid", 1),
        ("invoice.paid", 1),
        ("invoice.payment_failed", 2),
        ("invoice.created", 3),
    ):
        assert await _deliver(api, _event(kind, stripe_id, number)) == 200
    assert (await api.call("consumer", "GET", path)).json()["status"] == "open"
    assert await _process(scenario) == 3
    assert (await api.call("consumer", "GET", path)).json()["status"] == "paid"
    assert await scenario.count("ledger_transaction") == 2


async def test_an_event_while_stripe_is_away_waits(api: Api, scenario: Scenario) -> None:
    assert await _deliver(api, _event("invoice.paid", "in_nothing")) == 200
    assert await _process(scenario) == 1
    async with scenario.db.begin() as session:
        row = (await session.execute(text("SELECT status, failures FROM webhook_event"))).one()
    assert (row.status, row.failures) == ("waiting", 1)


async def test_events_about_nothing_of_ours_change_nothing(api: Api, scenario: Scenario) -> None:
    for number, kind in enumerate(("customer.created", "account.updated", "invoice.deleted", "payout.paid")):
        assert await _deliver(api, _event(kind, "x_1", number)) == 200
    assert await _deliver(api, _event("invoice.upcoming", None, 9)) == 200
    assert await _process(scenario) == 5


async def test_only_stripe_is_listened_to(api: Api, scenario: Scenario) -> None:
    body = _event("invoice.paid", "in_1")
    assert await _deliver(api, body, secret="whsec_other") == 400
    assert await _deliver(api, body, age=400) == 400
    unsigned = await api.call(None, "POST", "/v1/webhooks/stripe", content=body)
    assert (unsigned.status_code, unsigned.json()["code"]) == (400, "INVALID_SIGNATURE")
    assert await _deliver(api, "{}") == 422
    assert (await api.call(None, "POST", "/v1/webhooks/stripe", content=b"x" * 600_000)).status_code == 413
    assert await scenario.count("webhook_event") == 0


@pytest.mark.usefixtures("invoice")
async def test_the_operator_has_everything_published_again(api: Api) -> None:
    answer = await api.call("admin", "POST", "/v1/admin/republish")
    assert (answer.status_code, answer.json()) == (202, {"events": 1})


async def test_a_balance_starts_at_zero(api: Api) -> None:
    zero = {"pending": 0, "available": 0, "in_transit": 0, "paid_out": 0, "fee": 0}
    assert (await api.call("provider", "GET", "/v1/balance")).json() == {"EUR": zero}
    assert (await api.call("admin", "GET", "/v1/ledger/trial-balance")).json() == {
        "EUR": {"debit": 0, "credit": 0, "accounts": []}
    }
