"""A line before it is on an invoice: what rating answers with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from billing.domain.period import Period


class LineKind(StrEnum):
    """What a line is for. More kinds follow (minimum, coupon …); these never change their meaning."""

    FIXED_FEE = "fixed_fee"
    USAGE = "usage"
    PRORATION = "proration"
    CREDIT = "credit"
    ADJUSTMENT = "adjustment"


@dataclass(frozen=True, slots=True)
class LineDraft:
    """One line: `amount` in minor units, `trace` the steps that lead to it.

    Lines of one subscription, kind and `series` never overlap in time: the database refuses them. The series is
    empty for fixed fees and usage, so that each second is billed once; a credit's is the line that it credits.
    """

    kind: LineKind
    subscription_id: UUID
    provider_organisation_id: UUID
    api_id: UUID
    plan_version_id: UUID
    currency: str
    description: str
    during: Period
    month: datetime
    quantity: int
    unit_price: str | None
    amount: int
    trace: tuple[dict[str, Any], ...]
    series: str = ""
    metered_total: int | None = None


@dataclass(frozen=True, slots=True)
class FeeLine:
    """A fixed fee, proration or credit that stands on an invoice already."""

    id: UUID
    kind: LineKind
    subscription_id: UUID
    plan_version_id: UUID
    during: Period
    series: str


@dataclass(frozen=True, slots=True)
class UsageBilled:
    """What stands on invoices for one subscription, plan version and month so far."""

    quantity: int
    amount: int
    metered_total: int
    until: datetime | None  # the end of the last usage line of this plan version


@dataclass(frozen=True, slots=True)
class UsageTotal:
    """Metering's total for one subscription, plan version and month, and where it comes from."""

    subscription_id: UUID
    plan_version_id: UUID
    api_id: UUID
    calls: int
    billable_calls: int
    units: int
    source: dict[str, Any]  # goes into the trace: cut-off or adjustment, with its id
