"""What billing rates: one subscription's day."""

from __future__ import annotations

import datetime as dt
from typing import Self
from uuid import UUID

from common.events import Event

_ID = UUID("01930000-0000-7000-8000-000000000001")


class UsageChanged(Event, topic="metering.usage.v1", type="usage.changed", key="usage_key"):
    """What a subscription used under one plan version on one UTC day: absolute values, so a repeat changes nothing."""

    subscription_id: UUID
    plan_version_id: UUID
    organisation_id: UUID
    provider_organisation_id: UUID
    api_id: UUID
    date: dt.date
    calls: int
    billable_calls: int
    units: int
    errors_4xx: int
    errors_5xx: int
    rejected_rate_limited: int
    rejected_forbidden: int
    bytes_out: int

    @property
    def usage_key(self) -> str:
        """`{subscription}/{plan version}/{date}`."""
        return f"{self.subscription_id}/{self.plan_version_id}/{self.date.isoformat()}"

    @classmethod
    def example(cls) -> Self:
        """A day with something of everything."""
        return cls(
            version=7, subscription_id=_ID, plan_version_id=_ID, organisation_id=_ID, provider_organisation_id=_ID,
            api_id=_ID, date=dt.date(2026, 11, 15), calls=120, billable_calls=100, units=130, errors_4xx=4,
            errors_5xx=3, rejected_rate_limited=10, rejected_forbidden=5, bytes_out=48_720,
        )  # fmt: skip
