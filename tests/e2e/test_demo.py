"""The main job, end to end: a call becomes a line on a paid invoice, and nothing is lost on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Stack

pytestmark = pytest.mark.e2e
IN_THE_PATH = {"kong", "upstream", "metering", "postgres", "redis"}
BESIDE_IT = {"accounts", "oidc", "catalog", "subscriptions", "kong-sync", "billing", "stripe"}


def assert_told_to_its_end(facts: dict[str, Any]) -> None:
    assert facts["ok"]
    assert [name for name in facts if facts[name] is None and name != "seed"] == []
    assert facts["reconciliation"] == {"metering": [], "billing": []}
    assert facts["verified_calls"] == sum(day["calls"] for day in facts["metering"]["day"])
    assert facts["invoice"]["status"] == "paid"
    assert {line["kind"] for line in facts["invoice"]["lines"]} == {"fixed_fee", "usage"}
    assert facts["balance"]["EUR"]["available"] + facts["balance"]["EUR"]["fee"] == facts["invoice"]["total"]
    assert facts["payout"]["EUR"]["paid_out"] == facts["balance"]["EUR"]["available"]


def test_a_call_becomes_a_line_on_a_paid_invoice(stack: Stack) -> None:
    facts = stack.demo()
    assert_told_to_its_end(facts)
    assert facts["client"]["unknown"] == facts["client"]["not_sent"] == facts["served_unanswered"] == 0
    assert {"200", "201", "401", "404", "429", "503"} <= set(facts["client"]["by_status"])
    assert facts["kills"] == []


def test_killing_any_one_process_loses_and_doubles_nothing(stack: Stack) -> None:
    facts = stack.demo("--chaos", "--seed", "7")
    assert_told_to_its_end(facts)
    assert facts["seed"] == 7
    assert sorted(kill["process"] for kill in facts["kills"]) == sorted(IN_THE_PATH | BESIDE_IT)
    assert all(kill["in_flight"] > 0 and kill["measured"] for kill in facts["kills"])
    assert facts["served_unanswered"] <= facts["client"]["unknown"]


def test_a_document_without_anything_to_call_is_a_difference_and_no_traceback(
    stack: Stack, tmp_path: Path
) -> None:
    document = tmp_path / "api.yaml"
    document.write_text("openapi: 3.0.3\npaths: {}\n")
    done = stack.command("demo", "--json", "--openapi", str(document))
    facts = json.loads(done.stdout)
    assert done.returncode == 1
    assert "no GET operation" in facts["differences"][0]
    assert facts["invoice"] is None
    assert "Traceback" not in done.stderr
