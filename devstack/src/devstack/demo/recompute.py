"""What the invoice must say, from the terms and the counted calls alone. Standard library only, nothing of ours.

Reads `{terms, started_at, until, billable_calls, fee_percent}` as JSON on standard input (amounts in minor units) and
prints `{lines: [{kind, amount}], total, fee, provider}`. It is run as a process of its own, by an isolated Python, so
that the services' arithmetic is never checked against itself.
"""

import json
import sys
from datetime import UTC, datetime
from fractions import Fraction


def half_up(amount: Fraction) -> int:
    return (2 * amount.numerator + amount.denominator) // (2 * amount.denominator)


def month_around(instant: datetime) -> tuple[datetime, datetime]:
    start = instant.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    return start, end


def microseconds(start: datetime, end: datetime) -> int:
    gap = end - start
    return (gap.days * 86_400 + gap.seconds) * 1_000_000 + gap.microseconds


def graduated(quantity: int, tiers: list[dict[str, object]]) -> Fraction:
    total, below = Fraction(0), 0
    for number, tier in enumerate(tiers):
        if number and quantity <= below:
            break
        up_to = tier["up_to"]
        reach = quantity if up_to is None else min(quantity, int(str(up_to)))
        total += (reach - below) * Fraction(str(tier["unit_price"])) + Fraction(str(tier.get("flat_fee", 0)))
        below = reach
    return total


def main() -> None:
    facts = json.load(sys.stdin)
    terms = facts["terms"]
    started = datetime.fromisoformat(facts["started_at"]).astimezone(UTC)
    start, end = month_around(started)
    share = Fraction(microseconds(started, end), microseconds(start, end))
    fixed = half_up(terms["fixed_fee"] * share)
    included = terms["included_requests"]
    if terms["first_period_allowance"] == "prorated":
        included = int(included * share)
    overage = max(0, facts["billable_calls"] - included)
    usage = half_up(graduated(overage, terms["usage_price"]["tiers"]))
    lines = [
        {"kind": "fixed_fee", "quantity": 1, "amount": fixed},
        {"kind": "usage", "quantity": overage, "amount": usage},
    ]
    lines = [line for line in lines if line["amount"] or line["kind"] == "usage"]
    fee = sum(half_up(Fraction(str(facts["fee_percent"])) * line["amount"] / 100) for line in lines)
    total = sum(line["amount"] for line in lines)
    json.dump({"lines": lines, "total": total, "fee": fee, "provider": total - fee}, sys.stdout)


if __name__ == "__main__":
    main()
