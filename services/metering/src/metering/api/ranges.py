"""The range of time that a query asks for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query
from pydantic import AwareDatetime

from common.http.auth import Member
from common.http.clock import ClockDep
from metering.domain.errors import RangeInvalid
from metering.domain.lateness import CLOCK_SKEW, month_of, start_of
from metering.domain.usage import Filters, Side
from metering.domain.windows import ceil_hour

_LONGEST = timedelta(days=400)


class Period(StrEnum):
    """A range that ends now."""

    LAST_24_HOURS = "24h"
    LAST_7_DAYS = "7d"
    LAST_30_DAYS = "30d"
    MONTH = "month"


_LENGTHS = {
    Period.LAST_24_HOURS: timedelta(hours=24),
    Period.LAST_7_DAYS: timedelta(days=7),
    Period.LAST_30_DAYS: timedelta(days=30),
}


@dataclass(frozen=True, slots=True)
class Range:
    """[start, end), in UTC."""

    start: datetime
    end: datetime


async def requested_range(
    clock: ClockDep,
    from_: Annotated[AwareDatetime | None, Query(alias="from", description="Inclusive.")] = None,
    to: Annotated[AwareDatetime | None, Query(description="Exclusive; now when left out.")] = None,
    period: Annotated[
        Period | None, Query(description="Instead of from and to; by default this month.")
    ] = None,
) -> Range:
    """The range that `from` and `to`, or `period`, ask for."""
    if period is not None and (from_ is not None or to is not None):
        raise RangeInvalid("Give either `period` or `from` and `to`.", field="period")
    now = clock.now()
    # A gateway's clock may be a little ahead: its calls of this moment belong to an open range, too.
    open_end = ceil_hour(now + CLOCK_SKEW)
    if period in _LENGTHS:
        start = now - _LENGTHS[period]
    else:
        start = from_ or start_of(month_of(to - timedelta(microseconds=1) if to else now))
    end = min(to, open_end) if to is not None else open_end
    if to is not None and to <= start:
        raise RangeInvalid("`to` must be after `from`.", field="to")
    if end - start > _LONGEST:
        raise RangeInvalid("A range is at most 400 days.", field="from")
    return Range(start, max(end, start))


async def requested_filters(
    caller: Member,
    *,
    subscription_id: UUID | None = None,
    api_id: UUID | None = None,
    key_id: UUID | None = None,
    side: Annotated[
        Side | None,
        Query(description="Only calls that you made (consumer), or that your APIs received (provider)."),
    ] = None,
    mode: Annotated[
        str, Query(pattern="^(live|test)$", description="Calls of live or of test keys.")
    ] = "live",
) -> Filters:
    """What the query is about. Row-level security has the last word on whose rows these are."""
    own = caller.organisation_id
    return Filters(
        is_test=mode == "test", subscription_id=subscription_id, api_id=api_id, key_id=key_id,
        consumer_org=own if side is Side.CONSUMER else None, provider_org=own if side is Side.PROVIDER else None,
    )  # fmt: skip


RangeDep = Annotated[Range, Depends(requested_range)]
FiltersDep = Annotated[Filters, Depends(requested_filters)]
