"""`./marketplace verify-usage`: check a usage file offline, with nothing but Python's own library and RFC 6962.

It shares no code with the services that made the file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_HOUR_MS = 3_600_000


def leaf_hash(leaf: Sequence[Any]) -> bytes:
    """The hash of `[began in ms, billable, units, request id]`."""
    began, billable, units, request_id = leaf
    data = f"{began:d} {int(billable)} {units:d} ".encode() + request_id.encode()
    return hashlib.sha256(b"\x00" + data).digest()


def tree_hash(hashes: Sequence[bytes]) -> bytes:
    """RFC 6962, section 2.1, as it is written there."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    middle = 1
    while middle * 2 < len(hashes):
        middle *= 2
    return hashlib.sha256(b"\x01" + tree_hash(hashes[:middle]) + tree_hash(hashes[middle:])).digest()


def root_by_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root that an audit path leads to (RFC 9162, section 2.1.3.2); None when it has the wrong length."""
    if not 0 <= index < size:
        return None
    place, last, found = index, size - 1, leaf
    for step in path:
        if last == 0:
            return None
        if place % 2 or place == last:
            found = hashlib.sha256(b"\x01" + step + found).digest()
            while place % 2 == 0 and place:
                place, last = place >> 1, last >> 1
        else:
            found = hashlib.sha256(b"\x01" + found + step).digest()
        place, last = place >> 1, last >> 1
    return found if last == 0 else None


def check_proof(proof: dict[str, Any]) -> list[str]:
    """What is wrong with the proof that one call is in or out; nothing when it holds."""
    size, wanted = proof["calls"], proof["request_id"].encode()
    members = proof["members"]
    for member in members:
        path = [bytes.fromhex(step) for step in member["path"]]
        found = root_by_path(leaf_hash(member["leaf"]), member["index"], size, path)
        if found is None or found.hex() != proof["root"]:
            return [f"the path of leaf {member['index']} does not lead to the root"]
    ids = [member["leaf"][3].encode() for member in members]
    places = [member["index"] for member in members]
    if proof["is_in"]:
        return [] if ids == [wanted] else ["the leaf is another call's"]
    if size == 0:
        return [] if proof["root"] == hashlib.sha256(b"").hexdigest() else ["the root of no calls is another"]
    between = len(ids) == 2 and places[1] == places[0] + 1 and ids[0] < wanted < ids[1]
    before_all = len(ids) == 1 and places == [0] and wanted < ids[0]
    after_all = len(ids) == 1 and places == [size - 1] and wanted > ids[0]
    return [] if between or before_all or after_all else ["the leaves shown leave room for the call"]


def check_evidence(evidence: dict[str, Any]) -> list[str]:
    """What is wrong with an evidence file by itself."""
    problems = []
    for hour in evidence["hours"]:
        start = int(_instant(hour["hour"]).timestamp() * 1000)
        leaves = hour["leaves"]
        keys = [(leaf[3].encode(), leaf[0]) for leaf in leaves]
        if tree_hash([leaf_hash(leaf) for leaf in leaves]).hex() != hour["root"]:
            problems.append(f"{hour['hour']}: the leaves do not make the root")
        if keys != sorted(set(keys)):
            problems.append(f"{hour['hour']}: the leaves are not sorted, or one is there twice")
        if not all(start <= leaf[0] < start + _HOUR_MS for leaf in leaves):
            problems.append(f"{hour['hour']}: a call began outside the hour")
    starts = [hour["hour"] for hour in evidence["hours"]]
    if starts != sorted(set(starts)):
        problems.append("the hours are not in order, or one is there twice")
    return problems


def check_roots(evidence: dict[str, Any], kept: dict[str, Any]) -> list[str]:
    """Where the file's roots are not those that were kept before (of the same version)."""
    known = {
        (_instant(r["hour"]), r["version"]): r["root"]
        for r in kept["items"]
        if r["plan_version_id"] == evidence["plan_version_id"]
    }
    hours = [(_instant(hour["hour"]), hour["version"], hour["root"]) for hour in evidence["hours"]]
    return [
        f"{at.isoformat()}: the root is not the one kept"
        for at, version, root in hours
        if known.get((at, version), root) != root
    ]


def check_line(evidence: dict[str, Any], line: dict[str, Any]) -> list[str]:
    """Where the line's quantity does not follow from the calls.

    Its trace says up to when the month was metered, and what was taken off: included, beyond the quota, billed before.
    An adjustment of a closed month says only which month: the file must hold all of it, with what came late.
    """
    steps = {step["step"]: step for step in line["trace"]}
    if "reversal" in steps:
        return ["the line only takes back what was billed: what replaces it is the adjustment beside it"]
    metered = steps["metered"]
    until = _instant(metered["until"]) if "until" in metered else _month_after(metered["month"])
    month = (until.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
             if until != _first(until) else _first(until.fromtimestamp(until.timestamp() - 1, UTC)))  # fmt: skip
    same = ("subscription_id", "plan_version_id")
    if any(name in line and line[name] != evidence[name] for name in same):
        return ["the file is of another subscription or plan version"]
    if _instant(evidence["start"]) > month or _instant(evidence["until"]) < until:
        return [f"the file does not reach from {month.isoformat()} to {until.isoformat()}"]
    low, high = month.timestamp() * 1000, until.timestamp() * 1000
    leaves = [leaf for hour in evidence["hours"] for leaf in hour["leaves"]]
    calls = sum(1 for leaf in leaves if leaf[1] and low <= leaf[0] < high)
    if calls != metered["billable_calls"]:
        return [f"{calls} billable calls are in the file, the line says {metered['billable_calls']}"]
    off = sum(
        steps.get(name, {}).get("quantity", 0) for name in ("beyond_quota", "included", "already_billed")
    )
    quantity = calls - off
    return (
        []
        if quantity == line["quantity"]
        else [f"{quantity} follows from the calls, the line says {line['quantity']}"]
    )


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def _month_after(month: str) -> datetime:
    year, number = map(int, month.split("-")[:2])
    return datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)


def _first(moment: datetime) -> datetime:
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _load(path: str) -> dict[str, Any]:
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no object")
    return found


def check(arguments: argparse.Namespace) -> list[str]:
    """Everything that is wrong with the files named."""
    file = _load(arguments.file)
    if file.get("format") == "usage-proof/1":
        return check_proof(file)
    if file.get("format") != "usage-evidence/1":
        return ["this is neither usage evidence nor a proof of one call"]
    problems = check_evidence(file)
    if arguments.roots:
        problems += check_roots(file, _load(arguments.roots))
    if arguments.invoice:
        lines = {line["id"]: line for line in _load(arguments.invoice)["lines"]}
        if arguments.line not in lines:
            return [*problems, "the invoice has no such line"]
        problems += check_line(file, lines[arguments.line])
    return problems


def main(argv: Sequence[str] | None = None) -> int:
    """0 when everything holds, 1 with what does not, 2 for a file that cannot be read."""
    parser = argparse.ArgumentParser(prog="marketplace verify-usage", description=__doc__.splitlines()[0])
    parser.add_argument("file", help="what GET /v1/usage/evidence or /v1/usage/proof answered")
    parser.add_argument("--invoice", help="what GET /v1/invoices/{id} answered")
    parser.add_argument("--line", help="the id of its line whose quantity is to follow")
    parser.add_argument("--roots", help="what GET /v1/usage/roots answered at the time")
    try:
        arguments = parser.parse_args(argv)
        problems = check(arguments)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        print(f"this cannot be read: {type(error).__name__} {error}", file=sys.stderr)
        return 2
    for problem in problems:
        print(f"does not hold: {problem}")
    if not problems:
        print("holds")
    return 1 if problems else 0
