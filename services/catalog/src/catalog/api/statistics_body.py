"""How an API is used, as everybody sees it."""

from datetime import datetime
from decimal import Decimal

from pydantic import BaseModel, ConfigDict


class StatisticsOut(BaseModel):
    """The last `days` days, today included. Null: there was no call. `uptime_percent` is a decimal such as 99.982."""

    model_config = ConfigDict(from_attributes=True)
    days: int
    calls: int
    subscribers: int
    latency_ms_p50: int | None
    latency_ms_p95: int | None
    uptime_percent: Decimal | None
    measured_at: datetime
