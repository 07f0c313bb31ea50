"""The main job, end to end: a call becomes a line on a paid invoice, and nothing is lost on the way."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]
IN_THE_PATH = {"kong", "upstream", "metering", "postgres", "redis"}
BESIDE_IT = {"accounts", "oidc", "catalog", "subscriptions", "kong-sync", "billing", "stripe"}


def test_a_call_becomes_a_line_on_a_paid_invoice(stack: Stack) -> None:
    facts = stack.demo()
    assert facts["ok"]
    assert facts["client"]["unknown"] == 0
    assert {"200", "201", "401", "404", "429", "503"} <= set(facts["client"]["by_status"])
    assert sum(facts["client"]["by_status"].values()) + facts["client"]["unknown"] == facts["client"]["sent"]
    assert facts["invoice"]["status"] == "paid"
    assert {line["kind"] for line in facts["invoice"]["lines"]} == {"fixed_fee", "usage"}
    assert facts["invoice"]["total"] == sum(line["amount"] for line in facts["invoice"]["lines"])
    assert facts["balance"]["EUR"]["available"] + facts["balance"]["EUR"]["fee"] == facts["invoice"]["total"]
    assert facts["payout"]["EUR"]["available"] == 0
    assert facts["trial_balance"]["EUR"]["debit"] == facts["trial_balance"]["EUR"]["credit"]


def test_killing_any_one_process_loses_and_doubles_nothing(stack: Stack) -> None:
    facts = stack.demo("--chaos", "--seed", "7")
    assert {kill["process"] for kill in facts["kills"]} == IN_THE_PATH | BESIDE_IT
    assert all(kill["in_flight"] > 0 for kill in facts["kills"])
