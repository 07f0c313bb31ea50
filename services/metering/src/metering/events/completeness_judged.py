"""How much of an API's calls is metered, when it is too little."""

from __future__ import annotations

import datetime as dt
from typing import Self
from uuid import UUID

from pydantic import AwareDatetime

from common.events import Event

_ID = UUID("01930000-0000-7000-8000-000000000001")


class CompletenessJudged(Event, topic="metering.completeness.v1", type="completeness.judged", key="span_key"):
    """The gateway counted `counted` calls in [start, until), and at least `missing` of them are not metered.

    Published when that is below the bound (`complete` false), and again whenever the same time is judged anew.
    `subscription_ids` are those whose own calls are below the bound; `percent` is rounded down.
    """

    api_id: UUID
    provider_organisation_id: UUID | None
    start: AwareDatetime
    until: AwareDatetime
    counted: int
    metered: int
    missing: int
    percent: str
    complete: bool
    subscription_ids: list[UUID]

    @property
    def span_key(self) -> str:
        """`{api}/{start}`."""
        return f"{self.api_id}/{self.start.isoformat()}"

    @classmethod
    def example(cls) -> Self:
        """An hour of which a full queue lost calls."""
        return cls(
            version=1, api_id=_ID, provider_organisation_id=_ID, start=dt.datetime(2026, 11, 15, 11, tzinfo=dt.UTC),
            until=dt.datetime(2026, 11, 15, 12, tzinfo=dt.UTC), counted=120, metered=114, missing=6, percent="95.0000",
            complete=False, subscription_ids=[_ID],
        )  # fmt: skip
