"""The buckets of a time series."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from metering.domain.lateness import month_of, next_month, start_of
from metering.domain.windows import floor_day, floor_hour


class Granularity(StrEnum):
    """How long a bucket of a time series is."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


def floor(instant: datetime, granularity: Granularity) -> datetime:
    """The start of the bucket that `instant` is in."""
    if granularity is Granularity.MONTH:
        return start_of(month_of(instant))
    if granularity is Granularity.DAY:
        return floor_day(instant)
    hour = floor_hour(instant)
    return hour if granularity is Granularity.HOUR else hour + timedelta(minutes=instant.minute)


def following(start: datetime, granularity: Granularity) -> datetime:
    """The start of the bucket after the one that begins at `start`."""
    if granularity is Granularity.MONTH:
        return start_of(next_month(month_of(start)))
    steps = {
        Granularity.MINUTE: timedelta(minutes=1),
        Granularity.HOUR: timedelta(hours=1),
        Granularity.DAY: timedelta(days=1),
    }
    return start + steps[granularity]


def buckets(start: datetime, end: datetime, *, granularity: Granularity, most: int) -> list[datetime] | None:
    """The starts of the buckets that cover [start, end), then the end of the last; None when too many."""
    starts = [floor(start, granularity)]
    while starts[-1] < end:
        if len(starts) > most:
            return None
        starts.append(following(starts[-1], granularity))
    return starts
