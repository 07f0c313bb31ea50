"""metering.api.v1: how an API is used, and how it answers."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from pydantic import AwareDatetime
from sqlalchemy.ext.asyncio import AsyncSession

from catalog.db import statistics
from catalog.domain.api import Statistics
from common.events import Incoming


class ApiMeasuredEvent(Incoming, topic="metering.api.v1"):
    """The fields that the catalogue reads."""

    api_id: UUID
    days: int
    calls: int
    subscribers: int
    latency_ms_p50: int | None
    latency_ms_p95: int | None
    uptime_percent: Decimal | None
    measured_at: AwareDatetime


async def on_api_measured(session: AsyncSession, event: ApiMeasuredEvent, *, now: datetime) -> None:  # noqa: ARG001
    """What is shown of the API's use is this, unless something newer is known."""
    measured = Statistics(**{name: getattr(event, name) for name in Statistics.__dataclass_fields__})
    await statistics.put(session, event.api_id, measured, version=event.version)
