"""Valid by default, keyword overrides, no randomness."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import settings

from billing.domain.invoice import Invoice, InvoiceStatus, Line
from billing.domain.lines import LineDraft, LineKind, UsageTotal
from billing.domain.payouts import split
from billing.domain.period import Period
from billing.domain.subscription import Phase, SoldSubscription
from billing.domain.terms import Terms, read_terms

# Time limits per example say nothing on a busy machine.
LAWS = settings(max_examples=60, deadline=None)


def an_id(number: int) -> UUID:
    return UUID(int=0x0193A000_0000_7000_8000_000000000000 + number)


CONSUMER, PROVIDER, STRANGER, ADMIN = an_id(0xC0), an_id(0xB0), an_id(0x51), an_id(0xAD)
API, PLAN, SUBSCRIPTION, RUN = an_id(0xA1), an_id(0xF1), an_id(0x5B), an_id(0x2A)


def at(text: str) -> datetime:
    """`at("11-15 12:00")`, in 2026 and UTC; `at("2027-01-01")` for another year."""
    date, _, clock = text.partition(" ")
    full = date if date.count("-") == 2 else f"2026-{date}"
    return datetime.fromisoformat(f"{full}T{clock or '00:00'}").replace(tzinfo=UTC)


NOVEMBER = Period(at("11-01"), at("12-01"))


def terms_json(**overrides: Any) -> dict[str, Any]:
    """19.00 EUR a month, 100 calls included, then 0.5 cents up to 1,000 and 0.25 cents above."""
    return {
        "name": "Pro", "currency": "EUR", "billing_period": "monthly", "fixed_fee": 1900, "included_requests": 100,
        "usage_price": {
            "model": "graduated",
            "tiers": [
                {"up_to": 1000, "unit_price": "0.5", "flat_fee": 0},
                {"up_to": None, "unit_price": "0.25", "flat_fee": 0},
            ],
        },
        "quota": None, "first_period_allowance": "full",
        "rate_limits": {"second": 10, "minute": None, "hour": None, "day": None}, "trial_days": 0,
    } | overrides  # fmt: skip


def terms(**overrides: Any) -> Terms:
    return read_terms(terms_json(**overrides))


def a_phase(start: str = "11-01", until: str | None = None, *, plan: UUID = PLAN, **overrides: Any) -> Phase:
    return Phase(plan, at(start), at(until) if until else None, terms(**overrides))


def a_sale(*phases: Phase, **overrides: Any) -> SoldSubscription:
    parts = phases or (a_phase(),)
    sale = SoldSubscription(
        id=SUBSCRIPTION, organisation_id=CONSUMER, provider_organisation_id=PROVIDER, api_id=API,
        api_slug="weather", started_at=parts[0].start, canceled_at=None, phases=parts,
    )  # fmt: skip
    return replace(sale, **overrides)


def a_total(
    calls: int, *, subscription: UUID = SUBSCRIPTION, plan: UUID = PLAN, api: UUID = API
) -> UsageTotal:
    return UsageTotal(subscription, plan, api, calls, calls, calls, {"step": "metered"})


def a_line(amount: int = 1900, *, position: int = 1, **overrides: Any) -> Line:
    draft = LineDraft(
        kind=LineKind.FIXED_FEE, subscription_id=SUBSCRIPTION, provider_organisation_id=PROVIDER, api_id=API,
        plan_version_id=PLAN, currency="EUR", description="fee", during=NOVEMBER, month=NOVEMBER.start, quantity=1,
        unit_price="1900", amount=amount, trace=(),
    )  # fmt: skip
    fee = split(amount, fee_percent=Decimal(3)).fee
    return Line(an_id(0x1000 + position), position, replace(draft, **overrides), fee)


def an_invoice(*lines: Line, **overrides: Any) -> Invoice:
    kept = lines or (a_line(),)
    invoice = Invoice(
        id=an_id(1), version=1, organisation_id=CONSUMER, currency="EUR", until=at("12-01"),
        status=InvoiceStatus.DRAFT, total=sum(line.draft.amount for line in kept), created_at=at("12-01 02:00"),
        run_id=RUN, lines=kept,
    )  # fmt: skip
    return replace(invoice, **overrides)
