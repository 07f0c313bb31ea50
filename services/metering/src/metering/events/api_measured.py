"""What the catalogue shows of how an API is used."""

from __future__ import annotations

import datetime as dt
from typing import Self
from uuid import UUID

from pydantic import AwareDatetime

from common.events import Event

_ID = UUID("01930000-0000-7000-8000-000000000001")


class ApiMeasured(Event, topic="metering.api.v1", type="api.measured", key="api_id"):
    """An API in the last `days` UTC days, today included: absolute values, published when they changed.

    `calls` are those by live keys that reached the API: its upstream answered, or the gateway could only answer 502,
    503 or 504 in its place. `subscribers` made them. `uptime_percent` is the share of them with neither a 5xx nor such
    an answer, a decimal. Latencies in ms are the gateway's, within 5 %. Null: there was no call.
    """

    api_id: UUID
    days: int
    calls: int
    subscribers: int
    latency_ms_p50: int | None
    latency_ms_p95: int | None
    uptime_percent: str | None
    measured_at: AwareDatetime

    @classmethod
    def example(cls) -> Self:
        """A well used API."""
        return cls(
            version=31, api_id=_ID, days=30, calls=120_400, subscribers=17, latency_ms_p50=41, latency_ms_p95=180,
            uptime_percent="99.982", measured_at=dt.datetime(2026, 11, 15, 9, 15, tzinfo=dt.UTC),
        )  # fmt: skip
