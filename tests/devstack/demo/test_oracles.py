"""The demo's oracles notice what is wrong: a check that cannot fail proves nothing."""

from __future__ import annotations

import copy
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from devstack.demo import recompute
from devstack.demo.calls import Made, Outcome
from devstack.demo.checks import (
    Metered,
    compare_balance,
    compare_calls,
    compare_invoice,
    compare_ledger,
    compare_summary,
    compare_unanswered,
    served_unanswered,
    summed,
)


def answered(request_id: str, status: int, code: str | None = None) -> Made:
    return Made("good", True, "answered", status, request_id, code)


def cut(outcome: Outcome = "unknown") -> Made:
    return Made("good", True, outcome, None, None, None)


MADE = [
    answered("a", 200),
    answered("b", 404),
    answered("c", 503),
    answered("d", 429, "RATE_LIMITED"),
    Made("wrong_key", False, "answered", 401, "e", "KEY_INVALID"),
]
SERVED = [
    {"request_id": "a", "status": 200},
    {"request_id": "b", "status": 404},
    {"request_id": "c", "status": 503},
]
METERED = [
    Metered("a", 200, "upstream", True),
    Metered("b", 404, "upstream", True),
    Metered("c", 503, "upstream", False),
    Metered("d", 429, "gateway", False),
]
SUMMARY: dict[str, Any] = {
    "calls": 4, "billable_calls": 2, "errors_5xx": 1, "rejected": {"rate_limited": 1},
}  # fmt: skip


def differences(metered: list[Metered], made: list[Made] | None = None) -> list[str]:
    return compare_calls(made or MADE, SERVED, metered)[1]


def test_the_good_case_has_no_difference() -> None:
    expected, found = compare_calls(MADE, SERVED, METERED)
    assert found == []
    assert compare_summary(expected, SUMMARY, what="summary") == []
    assert compare_summary(expected, summed([SUMMARY]), what="by day") == []


@pytest.mark.parametrize("position", range(len(METERED)))
def test_a_dropped_call_is_noticed(position: int) -> None:
    assert differences(METERED[:position] + METERED[position + 1 :])


@pytest.mark.parametrize("call", METERED)
def test_a_doubled_call_is_noticed(call: Metered) -> None:
    assert differences([*METERED, call])


@pytest.mark.parametrize("billable", [True, False])
def test_an_invented_call_is_noticed(billable: bool) -> None:
    assert differences([*METERED, Metered("z", 200, "upstream", billable)])


@pytest.mark.parametrize("call", METERED)
def test_a_call_with_another_status_or_price_is_noticed(call: Metered) -> None:
    for altered in (
        dataclasses.replace(call, status=418),
        dataclasses.replace(call, billable=not call.billable),
    ):
        assert differences([altered if each is call else each for each in METERED])


def test_a_cut_call_may_be_metered_only_as_the_upstream_served_it() -> None:
    served = [*SERVED, {"request_id": "u", "status": 200}]
    made = [*MADE, cut()]
    metered = [*METERED, Metered("u", 200, "upstream", True)]
    assert compare_calls(made, served, metered)[1] == []
    assert compare_calls(made, SERVED, metered)[1]
    assert compare_calls(MADE, served, metered)[1]
    assert compare_calls([*MADE, cut("not_sent")], served, metered)[1]


def test_an_answer_that_the_upstream_does_not_know_is_noticed() -> None:
    assert compare_calls(MADE, SERVED[1:], METERED)[1]


def test_a_served_call_that_nobody_counts_needs_a_killed_gateway_and_a_cut_connection() -> None:
    served = [*SERVED, {"request_id": "u", "status": 200}]
    cut_off = [*MADE, cut()]
    assert served_unanswered(cut_off, served, METERED) == ["u"]
    assert compare_unanswered(cut_off, served, METERED, gateway_killed=True) == []
    assert compare_unanswered(cut_off, served, METERED, gateway_killed=False)
    assert compare_unanswered(MADE, served, METERED, gateway_killed=True)
    assert compare_unanswered(MADE, SERVED, METERED, gateway_killed=False) == []
    # One connection was cut, and two calls claim to be it.
    both = [*served, {"request_id": "v", "status": 200}]
    metered = [*METERED, Metered("v", 200, "upstream", True)]
    assert compare_unanswered(cut_off, both, metered, gateway_killed=True)


@pytest.mark.parametrize("name", ["calls", "billable_calls", "errors_5xx"])
def test_a_summary_off_by_one_is_noticed(name: str) -> None:
    expected, _ = compare_calls(MADE, SERVED, METERED)
    assert compare_summary(expected, SUMMARY | {name: SUMMARY[name] + 1}, what="summary")
    assert compare_summary(expected, SUMMARY | {"rejected": {"rate_limited": 0}}, what="summary")


TERMS = {
    "fixed_fee": 1900,
    "included_requests": 10,
    "first_period_allowance": "full",
    "usage_price": {
        "tiers": [
            {"up_to": 100, "unit_price": "0.5", "flat_fee": 0},
            {"up_to": None, "unit_price": "0.25", "flat_fee": 0},
        ]
    },
}


def recomputed(calls: int) -> dict[str, Any]:
    facts = {
        "terms": TERMS, "started_at": "2026-11-16T00:00:00+00:00", "until": "2026-11-20T00:00:00+00:00",
        "billable_calls": calls, "fee_percent": "3",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-I", str(Path(recompute.__file__))],
        input=json.dumps(facts), capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_recomputation_is_what_a_person_works_out_by_hand() -> None:
    # Half of November: 950. 210 calls, 10 included: 100 at 0.5 and 100 at 0.25 are 75. 3 %: 28.5 → 29 and 2.25 → 2.
    assert recomputed(210) == {
        "lines": [
            {"kind": "fixed_fee", "quantity": 1, "amount": 950},
            {"kind": "usage", "quantity": 200, "amount": 75},
        ],
        "total": 1025, "fee": 31, "provider": 994,
    }  # fmt: skip
    assert recomputed(10)["lines"][1] == {"kind": "usage", "quantity": 0, "amount": 0}


def test_an_altered_invoice_is_noticed() -> None:
    wanted = recomputed(210)
    assert compare_invoice(wanted, wanted) == []
    for number, line in enumerate(wanted["lines"]):
        for name in ("quantity", "amount"):
            altered = copy.deepcopy(wanted)
            altered["lines"][number][name] = line[name] + 1
            assert compare_invoice(wanted, altered)
        assert compare_invoice(wanted, wanted | {"lines": [x for x in wanted["lines"] if x is not line]})
        assert compare_invoice(wanted, wanted | {"lines": [*wanted["lines"], line]})
    assert compare_invoice(wanted, wanted | {"total": wanted["total"] + 1})
    assert compare_invoice(recomputed(214), wanted)


@pytest.mark.parametrize("name", ["pending", "available", "fee"])
def test_an_altered_balance_is_noticed(name: str) -> None:
    wanted = recomputed(210)
    good = {"pending": 0, "available": 994, "fee": 31}
    assert compare_balance(wanted, {"EUR": good}, "EUR") == []
    assert compare_balance(wanted, {"EUR": good | {name: good[name] + 1}}, "EUR")
    assert compare_balance(wanted, {"USD": good}, "EUR")


def test_an_unbalanced_ledger_is_noticed() -> None:
    good: dict[str, Any] = {
        "EUR": {"debit": 5, "credit": 5, "accounts": [{"balance": 5}, {"balance": -5}]},
    }
    assert compare_ledger(good) == []
    assert compare_ledger({"EUR": good["EUR"] | {"debit": 6}})
    assert compare_ledger({"EUR": good["EUR"] | {"accounts": [{"balance": 5}, {"balance": -4}]}})
