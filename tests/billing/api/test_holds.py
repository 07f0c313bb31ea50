"""Invoices that wait for an operator, by REST."""

from __future__ import annotations

from typing import Any

import pytest

from billing.consumers.period import PeriodEvent, on_period
from billing.db.runs import InvoiceRun
from tests.billing.api.conftest import Api
from tests.billing.factories import API, CONSUMER, PLAN, SUBSCRIPTION
from tests.billing.scenario import Scenario


@pytest.fixture
async def run(scenario: Scenario) -> InvoiceRun:
    """A run whose totals came with calls missing."""
    await scenario.sell()
    made = await scenario.request("12-01")
    total: dict[str, Any] = {
        "subscription_id": SUBSCRIPTION, "plan_version_id": PLAN, "organisation_id": CONSUMER, "api_id": API,
        "month": "2026-11-01", "calls": 1350, "billable_calls": 1350, "units": 1350,
        "incomplete": {"counted": 1400, "metered": 1350, "missing": 50},
    }  # fmt: skip
    event = PeriodEvent.model_validate(
        {"cutoff_id": made.id, "version": 1, "part": 1, "parts": 1, "until": made.until, "totals": [total]}
    )
    for _ in range(2):  # delivered twice
        async with scenario.db.begin() as session:
            await on_period(session, event, now=scenario.clock.now())
    await scenario.work()
    return made


async def test_the_invoice_waits_until_an_operator_says_why_it_may_go(
    api: Api, scenario: Scenario, run: InvoiceRun
) -> None:
    assert await scenario.invoices() == []
    [hold] = (await api.call("admin", "GET", "/v1/invoice-holds", params={"run_id": str(run.id)})).json()[
        "items"
    ]
    assert (hold["subscription_id"], hold["counted"], hold["missing"]) == (str(SUBSCRIPTION), 1400, 50)
    path = f"/v1/invoice-holds/{hold['id']}/release"
    refused = await api.call("admin", "POST", path, json={"note": ""})
    assert refused.status_code == 422
    for _ in range(2):
        released = (await api.call("admin", "POST", path, json={"note": "the queue was full, agreed"})).json()
        assert (released["note"], released["released_by"] is None) == ("the queue was full, agreed", False)
    again = (await api.call("admin", "POST", path, json={"note": "another reason"})).json()
    assert again == released  # what was said first stays
    await scenario.work()
    assert len(await scenario.invoices()) == 1
    assert (await api.call("admin", "GET", "/v1/invoice-holds")).json()["items"] == []
    kept = (await api.call("admin", "GET", "/v1/invoice-holds", params={"status": "all"})).json()["items"]
    assert kept == [released]


@pytest.mark.usefixtures("run")
async def test_nobody_else_sees_or_releases(api: Api, scenario: Scenario) -> None:
    [hold] = (await api.call("admin", "GET", "/v1/invoice-holds")).json()["items"]
    for who in ("consumer", "provider", "stranger", None):
        refusal = 401 if who is None else 403
        path = f"/v1/invoice-holds/{hold['id']}/release"
        assert (await api.call(who, "GET", "/v1/invoice-holds")).status_code == refusal
        assert (await api.call(who, "POST", path, json={"note": "let me"})).status_code == refusal
    missing = await api.call(
        "admin", "POST", f"/v1/invoice-holds/{SUBSCRIPTION}/release", json={"note": "none"}
    )
    assert (missing.status_code, missing.json()["code"]) == (404, "INVOICE_HOLD_NOT_FOUND")
    await scenario.work()
    assert await scenario.invoices() == []
