"""What arrived too late for its month."""

from __future__ import annotations

import datetime as dt
from typing import Self
from uuid import UUID

from common.events import Event

_ID = UUID("01930000-0000-7000-8000-000000000001")


class UsageAdjusted(Event, topic="metering.adjustment.v1", type="usage.adjusted", key="month_key"):
    """The new absolute totals of a month that was closed before, after calls that arrived late."""

    subscription_id: UUID
    plan_version_id: UUID
    organisation_id: UUID
    provider_organisation_id: UUID
    api_id: UUID
    month: dt.date
    calls: int
    billable_calls: int
    units: int

    @property
    def month_key(self) -> str:
        """`{subscription}/{plan version}/{month}`."""
        return f"{self.subscription_id}/{self.plan_version_id}/{self.month.isoformat()}"

    @classmethod
    def example(cls) -> Self:
        """A month that grew by a late call."""
        return cls(
            version=2, subscription_id=_ID, plan_version_id=_ID, organisation_id=_ID, provider_organisation_id=_ID,
            api_id=_ID, month=dt.date(2026, 10, 1), calls=121, billable_calls=101, units=131,
        )  # fmt: skip
