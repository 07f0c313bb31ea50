"""The answer to a cut-off."""

from __future__ import annotations

import datetime as dt
from typing import Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, PositiveInt

from common.events import Event

_ID = UUID("01930000-0000-7000-8000-000000000001")


class Incomplete(BaseModel):
    """Of the calls that the gateway counted for a subscription in the period, at least `missing` are not metered."""

    model_config = ConfigDict(frozen=True)
    counted: int
    metered: int
    missing: int


class Total(BaseModel):
    """One subscription's use under one plan version; `incomplete` where less is metered than the bound asks for."""

    model_config = ConfigDict(frozen=True)
    subscription_id: UUID
    plan_version_id: UUID
    organisation_id: UUID
    api_id: UUID
    month: dt.date
    calls: int
    billable_calls: int
    units: int
    incomplete: Incomplete | None = None


class PeriodTotalled(Event, topic="metering.period.v1", type="period.totalled", key="part_key"):
    """Exact totals of the calls begun in [month_start, until), in `parts` parts, once and for good."""

    cutoff_id: UUID
    part: PositiveInt
    parts: PositiveInt
    organisation_id: UUID | None
    until: AwareDatetime
    month_start: AwareDatetime
    totals: list[Total]

    @property
    def part_key(self) -> str:
        """`{cutoff}/{part}`."""
        return f"{self.cutoff_id}/{self.part}"

    @classmethod
    def example(cls) -> Self:
        """One organisation's November so far."""
        total = Total(
            subscription_id=_ID, plan_version_id=_ID, organisation_id=_ID, api_id=_ID, month=dt.date(2026, 11, 1),
            calls=120, billable_calls=100, units=130,
            incomplete=Incomplete(counted=126, metered=120, missing=6),
        )  # fmt: skip
        return cls(
            version=1, cutoff_id=_ID, part=1, parts=1, organisation_id=_ID,
            until=dt.datetime(2026, 11, 15, 12, tzinfo=dt.UTC), month_start=dt.datetime(2026, 11, 1, tzinfo=dt.UTC),
            totals=[total],
        )  # fmt: skip
