"""metering.period.v1: exact totals up to a cut-off, in parts."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, BeforeValidator, NonNegativeInt, PositiveInt
from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import holds, usage
from billing.db.holds import Hold
from billing.db.usage import Total
from common.events import Incoming
from common.ids import new_id


def _first_of_month(value: object) -> object:
    return f"{value}-01" if isinstance(value, str) and len(value) == 7 else value


Month = Annotated[date, BeforeValidator(_first_of_month)]


class IncompleteIn(BaseModel):
    """Calls that the gateway counted and metering does not have."""

    counted: NonNegativeInt
    metered: NonNegativeInt
    missing: NonNegativeInt


class TotalIn(BaseModel):
    """One subscription and plan version."""

    subscription_id: UUID
    plan_version_id: UUID
    organisation_id: UUID
    api_id: UUID
    month: Month
    calls: NonNegativeInt
    billable_calls: NonNegativeInt
    units: NonNegativeInt = 0
    incomplete: IncompleteIn | None = None


class PeriodEvent(Incoming, topic="metering.period.v1"):
    """One part of the totals that a cut-off asked for."""

    cutoff_id: UUID
    part: NonNegativeInt
    parts: PositiveInt
    until: AwareDatetime
    totals: list[TotalIn]


async def on_period(session: AsyncSession, event: PeriodEvent, *, now: datetime) -> None:
    """The part is stored once; with the last one the invoice run goes on, but for what is incomplete."""
    for total in event.totals:
        if total.incomplete is not None:
            hold = Hold(
                id=new_id(), run_id=event.cutoff_id, organisation_id=total.organisation_id,
                subscription_id=total.subscription_id, since=now, **total.incomplete.model_dump(),
            )  # fmt: skip
            await holds.put(session, hold)
    await usage.put_part(
        session, cutoff_id=event.cutoff_id, part=event.part, parts=event.parts, until=event.until,
        totals=[Total(**total.model_dump(exclude={"incomplete"})) for total in event.totals], now=now,
    )  # fmt: skip
