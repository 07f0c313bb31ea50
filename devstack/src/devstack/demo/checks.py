"""What was counted against what must have been counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from devstack.demo.calls import Made


@dataclass(frozen=True, slots=True)
class Metered:
    """One call as metering shows it."""

    request_id: str
    status: int
    source: str
    billable: bool


@dataclass(frozen=True, slots=True)
class Expected:
    """The figures that the usage summary must show."""

    calls: int
    billable_calls: int
    rate_limited: int
    errors_5xx: int


class _Oracle:
    """What must have become of a call, by the client's journal and the upstream's."""

    def __init__(self, made: Sequence[Made], upstream: Sequence[dict[str, Any]]) -> None:
        self.journal = {entry["request_id"]: int(entry["status"]) for entry in upstream}
        self.answered = {str(m.request_id): m for m in made if m.keyed and m.outcome == "answered"}

    def billable(self, request_id: str) -> bool:
        """The upstream answered it below 500. An answer with an error code of ours was made by the gateway."""
        answer = self.answered.get(request_id)
        if answer is not None:
            return answer.code is None and (answer.status or 599) < 500
        return self.journal.get(request_id, 599) < 500


def compare_calls(
    made: Sequence[Made], upstream: Sequence[dict[str, Any]], metered: Sequence[Metered]
) -> tuple[Expected, list[str]]:
    """The expected figures, and every call that is missing, doubled or invented.

    A call whose connection was cut has no id at the client. It counts exactly if metering knows it, and then the
    upstream's journal must know it too: nothing may be billed that the upstream did not serve.
    """
    oracle = _Oracle(made, upstream)
    known = {m.request_id: m for m in metered}
    differences = [f"{i} is metered {n} times" for i, n in _repeated(metered).items()]
    for request_id, answer in oracle.answered.items():
        if request_id not in known:
            differences.append(f"{request_id} ({answer.status}) was answered and is not metered")
        elif answer.status != known[request_id].status:
            differences.append(
                f"{request_id} was {answer.status} and is metered as {known[request_id].status}"
            )
        if answer.code is None and request_id not in oracle.journal:
            differences.append(f"{request_id} was answered as if by the upstream, which does not know it")
    for request_id, call in known.items():
        if call.billable != oracle.billable(request_id):
            word = "billable" if call.billable else "not billable"
            differences.append(f"{request_id} ({call.status}, {call.source}) is metered as {word}")
    extra = len(set(known) - set(oracle.answered))
    unknown = sum(m.keyed and m.outcome == "unknown" for m in made)
    if extra > unknown:
        differences.append(f"{extra} metered calls are not the client's, and only {unknown} were cut off")
    return _expected(set(known) | set(oracle.answered), oracle, known), differences


def served_unanswered(
    made: Sequence[Made], upstream: Sequence[dict[str, Any]], metered: Sequence[Metered]
) -> list[str]:
    """What the upstream served and neither the client nor metering knows: the gateway died before it logged them."""
    oracle = _Oracle(made, upstream)
    return sorted(set(oracle.journal) - set(oracle.answered) - {m.request_id for m in metered})


def compare_unanswered(
    made: Sequence[Made],
    upstream: Sequence[dict[str, Any]],
    metered: Sequence[Metered],
    *,
    gateway_killed: bool,
) -> list[str]:
    """Served calls that nobody counts, beyond what a killed gateway explains: one for each connection cut."""
    missing = served_unanswered(made, upstream, metered)
    if missing and not gateway_killed:
        return [f"{request_id} was served and is not metered, and no gateway died" for request_id in missing]
    oracle = _Oracle(made, upstream)
    counted = len({m.request_id for m in metered} - set(oracle.answered))
    unknown = sum(m.keyed and m.outcome == "unknown" for m in made)
    if missing and len(missing) + counted > unknown:
        return [
            f"{len(missing)} served calls are not metered and {counted} more are, only {unknown} were cut off"
        ]
    return []


def _repeated(metered: Sequence[Metered]) -> dict[str, int]:
    return {request_id: n for request_id, n in Counter(m.request_id for m in metered).items() if n > 1}


def _expected(ids: set[str], oracle: _Oracle, known: dict[str, Metered]) -> Expected:
    statuses = [
        int(oracle.answered[i].status or 0) if i in oracle.answered else known[i].status for i in sorted(ids)
    ]
    return Expected(
        calls=len(ids),
        billable_calls=sum(oracle.billable(i) for i in ids),
        rate_limited=statuses.count(429),
        errors_5xx=sum(status >= 500 for status in statuses),
    )


def compare_summary(expected: Expected, summary: dict[str, Any], *, what: str) -> list[str]:
    """Where a usage summary (or the sum of a time series) differs from what is expected."""
    shown = {
        "calls": summary["calls"], "billable_calls": summary["billable_calls"],
        "rate_limited": summary["rejected"]["rate_limited"], "errors_5xx": summary["errors_5xx"],
    }  # fmt: skip
    return [
        f"{what}: {name} is {shown[name]}, expected {getattr(expected, name)}"
        for name in shown
        if shown[name] != getattr(expected, name)
    ]


def summed(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A time series added up to one summary."""
    return {
        "calls": sum(item["calls"] for item in items),
        "billable_calls": sum(item["billable_calls"] for item in items),
        "errors_5xx": sum(item["errors_5xx"] for item in items),
        "rejected": {"rate_limited": sum(item["rejected"]["rate_limited"] for item in items)},
    }


def compare_invoice(wanted: dict[str, Any], invoice: dict[str, Any]) -> list[str]:
    """Where the invoice differs from the independent recomputation."""
    shown = sorted((line["kind"], line["quantity"], line["amount"]) for line in invoice["lines"])
    expected = sorted((line["kind"], line["quantity"], line["amount"]) for line in wanted["lines"])
    found = [] if shown == expected else [f"invoice lines are {shown}, recomputed {expected}"]
    if invoice["total"] != wanted["total"]:
        found.append(f"invoice total is {invoice['total']}, recomputed {wanted['total']}")
    return found


def compare_balance(wanted: dict[str, Any], balance: dict[str, Any], currency: str) -> list[str]:
    """Where the provider's balance differs from the recomputed share."""
    shown = balance.get(currency, {})
    expected = {"pending": 0, "available": wanted["provider"], "fee": wanted["fee"]}
    return [
        f"balance: {name} is {shown.get(name)}, recomputed {value}"
        for name, value in expected.items()
        if shown.get(name) != value
    ]


def compare_ledger(trial: dict[str, Any]) -> list[str]:
    """A trial balance that does not balance."""
    found = []
    for currency, totals in trial.items():
        if totals["debit"] != totals["credit"]:
            found.append(f"ledger: {currency} debit {totals['debit']}, credit {totals['credit']}")
        if sum(account["balance"] for account in totals["accounts"]) != 0:
            found.append(f"ledger: the {currency} accounts do not add up to zero")
    return found
