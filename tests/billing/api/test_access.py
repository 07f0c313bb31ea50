"""Every endpoint, tried by everybody else."""

from __future__ import annotations

import re

import pytest
from fastapi import FastAPI

from tests.billing.api.conftest import Api
from tests.billing.factories import an_id
from tests.billing.scenario import Scenario

SOME = an_id(0x777)
ADMINS = [
    ("POST", "/v1/invoice-runs"),
    ("GET", f"/v1/invoice-runs/{SOME}"),
    ("GET", "/v1/ledger/trial-balance"),
    ("GET", "/v1/ledger/entries"),
    ("POST", "/v1/admin/republish"),
    ("GET", "/v1/invoice-holds"),
    ("POST", f"/v1/invoice-holds/{SOME}/release"),
]
FINANCE = [
    ("POST", f"/v1/invoices/{SOME}/pay"),
    ("GET", "/v1/billing-account"),
    ("PUT", "/v1/billing-account"),
    ("POST", "/v1/payment-methods"),
    ("POST", "/v1/connect/account"),
    ("GET", "/v1/connect/account"),
    ("POST", "/v1/connect/onboarding-link"),
]
MEMBERS = [
    ("GET", "/v1/invoices"),
    ("GET", "/v1/invoices/upcoming"),
    ("GET", f"/v1/invoices/{SOME}"),
    ("GET", "/v1/balance"),
    ("GET", "/v1/payouts"),
]
PUBLIC = {"/livez", "/readyz", "/health", "/metrics"}


def test_no_endpoint_is_left_out(app: FastAPI) -> None:
    listed = {(method, path.replace(str(SOME), "{}")) for method, path in [*ADMINS, *FINANCE, *MEMBERS]}
    listed.add(("POST", "/v1/webhooks/stripe"))
    found = set()
    for path, methods in app.openapi()["paths"].items():
        template = re.sub(r"\{.*?\}", "{}", path)
        found |= {(method.upper(), template) for method in methods if path not in PUBLIC}
    assert found == listed


@pytest.mark.parametrize(("method", "path"), [*ADMINS, *FINANCE, *MEMBERS])
async def test_nobody_gets_in_without_a_token(api: Api, method: str, path: str) -> None:
    answer = await api.call(None, method, path, json={})
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize(("method", "path"), ADMINS)
async def test_only_the_operator_runs_and_reads_the_books(api: Api, method: str, path: str) -> None:
    for who in ("consumer", "provider"):
        assert (await api.call(who, method, path, json={})).status_code == 403


@pytest.mark.parametrize(("method", "path"), FINANCE)
async def test_developers_and_viewers_do_not_touch_money(api: Api, method: str, path: str) -> None:
    for role in ("developer", "viewer"):
        assert (await api.call("consumer", method, path, role=role, json={})).status_code == 403


@pytest.mark.parametrize(("method", "path"), MEMBERS)
async def test_every_member_may_look(api: Api, method: str, path: str) -> None:
    answer = await api.call("consumer", method, path, role="viewer")
    assert answer.status_code == (404 if str(SOME) in path else 200)


async def test_an_invoice_is_nobody_elses(api: Api, scenario: Scenario) -> None:
    await scenario.sell("11-16")
    await scenario.cut_off("12-01", 1350)
    path = f"/v1/invoices/{(await scenario.invoices())[0].id}"
    statuses = {
        who: (await api.call(who, "GET", path)).status_code
        for who in ("consumer", "provider", "stranger", "admin")
    }
    assert statuses == {"consumer": 200, "provider": 404, "stranger": 404, "admin": 200}
    for who in ("provider", "stranger", "admin"):  # the operator looks, and pays nobody's invoice
        assert (await api.call(who, "POST", f"{path}/pay")).status_code == 404
    assert scenario.stripe.journal == []
    for who in ("provider", "stranger"):
        assert (await api.call(who, "GET", "/v1/invoices")).json()["items"] == []
