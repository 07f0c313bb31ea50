"""The range of time that a query asks for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import Depends, Query
from pydantic import AwareDatetime

from common.http.auth import Member
from common.http.clock import ClockDep
from metering.domain.buckets import Granularity, floor
from metering.domain.errors import RangeInvalid
from metering.domain.lateness import CLOCK_SKEW
from metering.domain.usage import CallFilters, Filters, Side
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
    """[start, end), in UTC. Months and days are those of `zone`; `until` is the end, or now if that is earlier."""

    start: datetime
    end: datetime
    until: datetime
    zone: tzinfo


_TZ = Query(
    alias="tz", max_length=64, examples=["Europe/Berlin"],
    description="IANA time zone of days and months (a day may have 23 or 25 hours). Hours are UTC's: where an offset "
    "is no whole number of hours, a day begins with the UTC hour that its midnight is in.",
)  # fmt: skip


async def requested_zone(name: Annotated[str, _TZ] = "UTC") -> tzinfo:
    """The time zone that `tz` names."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, no relative path, a folder of zones
        raise RangeInvalid(
            f"`{name}` is no time zone that is known here: give an IANA name such as Europe/Berlin.",
            field="tz",
        ) from None


ZoneDep = Annotated[tzinfo, Depends(requested_zone)]


async def requested_range(
    clock: ClockDep,
    zone: ZoneDep,
    from_: Annotated[
        AwareDatetime | None,
        Query(alias="from", description="Inclusive, with an offset; by default the month's first instant."),
    ] = None,
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
        last = to - timedelta(microseconds=1) if to else now
        start = from_ or floor(last, Granularity.MONTH, zone)
    end = min(to, open_end) if to is not None else open_end
    if to is not None and to <= start:
        raise RangeInvalid("`to` must be after `from`.", field="to")
    if end - start > _LONGEST:
        raise RangeInvalid("A range is at most 400 days.", field="from")
    return Range(start, max(end, start), until=max(min(end, now), start), zone=zone)


async def requested_filters(
    caller: Member,
    *,
    subscription_id: Annotated[UUID | None, Query(description="Only calls of this subscription.")] = None,
    api_id: Annotated[UUID | None, Query(description="Only calls to this API.")] = None,
    key_id: Annotated[UUID | None, Query(description="Only calls made with this key.")] = None,
    endpoint_id: Annotated[UUID | None, Query(description="Only calls that matched this endpoint.")] = None,
    version_id: Annotated[UUID | None, Query(description="Only calls to this version of an API.")] = None,
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
        endpoint_id=endpoint_id, version_id=version_id,
        own_org=own if side is None and not caller.platform_admin else None,
        consumer_org=own if side is Side.CONSUMER else None, provider_org=own if side is Side.PROVIDER else None,
    )  # fmt: skip


async def requested_calls(
    status: Annotated[
        str | None, Query(pattern="^([1-9][0-9]{2}|[1-5]xx)$", description="A status (429) or a class (4xx).")
    ] = None,
    method: Annotated[
        str | None, Query(pattern="^[A-Z]{1,16}$", description="Only calls with this method, in capitals.")
    ] = None,
    slower_than_ms: Annotated[
        int | None, Query(ge=0, lt=2**31, description="Only calls that took longer, in milliseconds.")
    ] = None,
) -> CallFilters:
    """Which of the single calls are meant."""
    return CallFilters(status=status, method=method, slower_than_ms=slower_than_ms)


CallFiltersDep = Annotated[CallFilters, Depends(requested_calls)]
RangeDep = Annotated[Range, Depends(requested_range)]
FiltersDep = Annotated[Filters, Depends(requested_filters)]
