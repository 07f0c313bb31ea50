"""Where a subscription stands against its quota."""

from __future__ import annotations

import datetime as dt
from typing import Literal, Self
from uuid import UUID

from pydantic import AwareDatetime

from common.events import Event
from metering.domain.lateness import next_month, start_of
from metering.domain.quota import QuotaState

_ID = UUID("01930000-0000-7000-8000-000000000001")


class QuotaChanged(Event, topic="metering.quota.v1", type="quota.changed", key="quota_key"):
    """A quota's state changed: published once for each change, also when a batch jumped over a limit.

    `until` is when the month ends and the state with it. When a plan without a quota lifts a stop, `limit` is the one
    that was lifted.
    """

    subscription_id: UUID
    period: str
    limit: int
    used: int
    state: Literal["ok", "warning", "reached"]
    until: AwareDatetime

    @property
    def quota_key(self) -> str:
        """`{subscription}/{month}`."""
        return f"{self.subscription_id}/{self.period}"

    @classmethod
    def of(
        cls, *, subscription_id: UUID, month: dt.date, version: int, limit: int, used: int, state: QuotaState
    ) -> Self:
        """The announcement for the month that begins on `month`."""
        return cls(
            version=version, subscription_id=subscription_id, period=month.strftime("%Y-%m"), limit=limit, used=used,
            state=state.value, until=start_of(next_month(month)),
        )  # fmt: skip

    @classmethod
    def example(cls) -> Self:
        """A quota that a batch jumped over."""
        return cls(
            version=2, subscription_id=_ID, period="2026-11", limit=1_000, used=1_004, state="reached",
            until=dt.datetime(2026, 12, 1, tzinfo=dt.UTC),
        )  # fmt: skip
