"""Roots and proofs as metering makes them, against a verifier that shares no code with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from billing.domain.lines import LineKind, UsageBilled
from billing.domain.usage import late_lines, usage_lines
from devstack.verify_usage import (
    check_evidence,
    check_line,
    check_proof,
    check_roots,
    main,
    root_by_path,
    tree_hash,
)
from metering.domain.merkle import Leaf, leaf_hash, path_of, prove, root_of
from tests.billing.factories import NOVEMBER, PLAN, SUBSCRIPTION, a_sale, a_total, at

# The leaves and roots that Certificate Transparency's own implementations are tested with (RFC 6962).
INPUTS = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
NOVEMBER_MS = round(at("11-01").timestamp() * 1000)
HOUR = 3_600_000


def test_the_trees_are_those_of_rfc_6962() -> None:
    hashes = [leaf_hash(bytes.fromhex(data)) for data in INPUTS]
    assert tuple(root_of(hashes[:size]).hex() for size in range(9)) == ROOTS
    assert tuple(tree_hash(hashes[:size]).hex() for size in range(9)) == ROOTS


def test_every_path_leads_to_the_root_and_from_no_other_place() -> None:
    for size in range(1, 34):
        hashes = [leaf_hash(b"%d" % n) for n in range(size)]
        root = tree_hash(hashes)
        assert root_of(hashes) == root
        for index in range(size):
            path = path_of(index, hashes)
            assert root_by_path(hashes[index], index, size, path) == root
            assert root_by_path(hashes[index], index, size, [*path, root]) is None
            wrong = (
                root_by_path(hashes[index], other, size, path) for other in range(size) if other != index
            )
            assert root not in wrong


def some_leaves(count: int, hour: int = 0) -> list[Leaf]:
    """Calls of one hour, every third not billable; request ids of two apart."""
    start = NOVEMBER_MS + hour * HOUR
    return [Leaf(b"%06x" % (2 * n), start + n, n % 3 != 0, int(n % 3 != 0)) for n in range(count)]


def shown(leaf: Leaf) -> list[Any]:
    return [leaf.started_at_ms, leaf.billable, leaf.units, leaf.request_id.decode()]


def a_proof(leaves: list[Leaf], request_id: str) -> dict[str, Any]:
    is_in, members = prove(request_id.encode(), leaves)
    return {
        "format": "usage-proof/1", "root": root_of([leaf_hash(x.data) for x in leaves]).hex(), "calls": len(leaves),
        "request_id": request_id, "is_in": is_in,
        "members": [
            {"index": m.index, "leaf": shown(m.leaf), "path": [step.hex() for step in m.path]} for m in members
        ],
    }  # fmt: skip


@pytest.mark.parametrize("count", [0, 1, 2, 5, 8])
def test_each_call_is_proved_in_and_each_other_out(count: int) -> None:
    leaves = some_leaves(count)
    for number in range(2 * count + 2):
        proof = a_proof(leaves, f"{number:06x}")
        assert proof["is_in"] == (number % 2 == 0 and number < 2 * count)
        assert check_proof(proof) == []
    assert check_proof(a_proof(leaves, "")) == []


def test_a_proof_that_was_bent_does_not_hold() -> None:
    leaves = some_leaves(5)
    for change in ("units", "billable", "id", "index", "size"):
        proof = a_proof(leaves, "000004")
        [member] = proof["members"]
        if change in ("index", "size"):
            member["index"] += change == "index"
            proof["calls"] += 4 * (change == "size")
        else:
            place = {"billable": 1, "units": 2, "id": 3}[change]
            member["leaf"][place] = {"billable": False, "units": 9, "id": "000005"}[change]
        assert check_proof(proof)
    out = a_proof(leaves, "000003")
    assert check_proof(out | {"request_id": "000006"})
    assert check_proof(out | {"members": out["members"][:1]})
    assert check_proof(a_proof(leaves, "000004") | {"is_in": False})


def evidence(*hours: list[Leaf], until: str = "12-01") -> dict[str, Any]:
    return {
        "format": "usage-evidence/1", "subscription_id": str(SUBSCRIPTION), "plan_version_id": str(PLAN),
        "start": at("11-01").isoformat(), "until": at(until).isoformat(),
        "hours": [
            {
                "hour": f"2026-11-01T{number:02}:00:00Z", "version": 1, "leaves": [shown(x) for x in leaves],
                "root": root_of([leaf_hash(x.data) for x in leaves]).hex(),
            }
            for number, leaves in enumerate(hours)
        ],
    }  # fmt: skip


def a_line(billable_calls: int, until: str) -> dict[str, Any]:
    """A line as billing makes it, in the form in which it is shown."""
    (line,) = usage_lines(at(until), [a_sale()], [a_total(billable_calls)], {}).lines
    metered = line.trace[0] | {"until": at(until).isoformat(), "billable_calls": billable_calls}
    return {
        "id": "line-1", "subscription_id": str(SUBSCRIPTION), "quantity": line.quantity,
        "trace": [metered, *line.trace[1:]],
    }  # fmt: skip


def test_a_lines_quantity_follows_from_the_calls_or_does_not() -> None:
    file = evidence(some_leaves(180), some_leaves(120, hour=1))
    assert check_evidence(file) == []
    assert check_line(file, a_line(200, "12-01")) == []
    assert check_line(file, a_line(201, "12-01"))
    assert check_line(file, a_line(200, "12-01") | {"quantity": 101})
    assert check_line(evidence(some_leaves(180), until="11-02"), a_line(200, "12-01"))
    assert check_line(file, a_line(200, "12-01") | {"subscription_id": str(PLAN)})


def test_an_adjustment_of_a_closed_month_follows_from_all_its_calls() -> None:
    usage = usage_lines(at("12-01"), [a_sale()], [a_total(120)], {}).lines
    key = (SUBSCRIPTION, PLAN)
    before = {key: UsageBilled(usage[0].quantity, usage[0].amount, 120, at("12-01"))}
    total = replace(a_total(200), source={"step": "metered", "adjustment_version": 2, "month": "2026-11-01"})
    (late,) = late_lines(NOVEMBER, [a_sale()], [total], before, series="x")
    line = {"id": "line-2", "quantity": late.quantity, "trace": list(late.trace)}
    assert (late.kind, late.quantity) == (LineKind.ADJUSTMENT, 80)
    assert check_line(evidence(some_leaves(180), some_leaves(120, hour=1)), line) == []
    assert check_line(evidence(some_leaves(180), some_leaves(117, hour=1)), line)
    assert check_line(evidence(some_leaves(180), some_leaves(120, hour=1)), line | {"quantity": 81})
    assert check_line(evidence(some_leaves(180), some_leaves(120, hour=1), until="11-30"), line)
    assert check_line(evidence(), line | {"trace": [{"step": "reversal", "quantity": -20, "amount": -10}]})
    decembers = {"step": "metered", "month": "2026-12-01", "billable_calls": 0}
    assert "to 2027-01-01" in check_line(evidence(), line | {"trace": [decembers]})[0]


def test_a_cut_inside_an_hour_counts_only_what_began_before_it() -> None:
    leaves = some_leaves(180)
    late = Leaf(b"ffffff", NOVEMBER_MS + HOUR - 1, billable=True, units=1)
    file = evidence([*leaves, late])
    assert check_line(file, a_line(120, "11-01 00:30")) == []
    assert check_line(file, a_line(121, "11-01 01:00")) == []


def test_a_call_taken_out_added_or_moved_is_found() -> None:
    leaves = some_leaves(9)
    for bent in (leaves[:-1], [*leaves, leaves[-1]], [leaves[1], leaves[0], *leaves[2:]]):
        file = evidence(leaves)
        file["hours"][0]["leaves"] = [shown(leaf) for leaf in bent]
        assert check_evidence(file)
    foreign = evidence(some_leaves(3, hour=5))  # sealed as such, in an hour that is not theirs
    assert check_evidence(foreign)
    kept = {
        "items": [
            {
                "hour": "2026-11-01T00:00:00+00:00",
                "version": 1,
                "plan_version_id": str(PLAN),
                "root": ROOTS[3],
            }
        ]
    }
    assert check_roots(evidence(leaves), kept)
    kept["items"][0]["root"] = evidence(leaves)["hours"][0]["root"]
    assert check_roots(evidence(leaves), kept) == []


def test_the_command_says_by_its_exit_code_what_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def file(name: str, content: object) -> str:
        path = tmp_path / name
        path.write_text(json.dumps(content))
        return str(path)

    good = file("good.json", evidence(some_leaves(180)))
    invoice = file("invoice.json", {"lines": [a_line(120, "12-01")]})
    assert main([good, "--invoice", invoice, "--line", "line-1"]) == 0
    assert capsys.readouterr().out == "holds\n"
    assert main([good, "--invoice", invoice, "--line", "line-2"]) == 1
    assert main([file("proof.json", a_proof(some_leaves(4), "000003"))]) == 0
    assert main([file("other.json", {})]) == 1
    assert main([file("broken.json", [])]) == 2
