"""The buckets of a time series, in any time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum

from metering.domain.lateness import next_month
from metering.domain.windows import floor_hour


class Granularity(StrEnum):
    """How long a bucket of a time series is."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


def local_start(day: date, zone: tzinfo) -> datetime:
    """The UTC hour in which `day` begins in `zone`.

    Hours are counted in UTC: where an offset is no whole number of them (India, Nepal), a day begins with the hour that
    its midnight is in, half an hour or a quarter early. Each call is in exactly one day, and days add up.
    """
    return floor_hour(datetime.combine(day, time(), zone).astimezone(UTC))


def floor(instant: datetime, granularity: Granularity, zone: tzinfo = UTC) -> datetime:
    """The start of the bucket that `instant` is in. Minutes and hours are those of UTC, days and months the zone's."""
    if granularity is Granularity.MINUTE:
        return floor_hour(instant) + timedelta(minutes=instant.minute)
    if granularity is Granularity.HOUR:
        return floor_hour(instant)
    day = instant.astimezone(zone).date()
    if granularity is Granularity.MONTH:
        day = day.replace(day=1)
    start = local_start(day, zone)
    after = following(start, granularity, zone)
    return after if after <= instant else start


def following(start: datetime, granularity: Granularity, zone: tzinfo = UTC) -> datetime:
    """The start of the bucket after the one that begins at `start`: a day may have 23 or 25 hours."""
    if granularity is Granularity.MINUTE:
        return start + timedelta(minutes=1)
    if granularity is Granularity.HOUR:
        return start + timedelta(hours=1)
    # A start may lie up to an hour before its midnight.
    day = (start + timedelta(minutes=59)).astimezone(zone).date()
    following_day = next_month(day) if granularity is Granularity.MONTH else day + timedelta(days=1)
    return local_start(following_day, zone)


def buckets(
    start: datetime, end: datetime, *, granularity: Granularity, most: int, zone: tzinfo = UTC
) -> list[datetime] | None:
    """The starts of the buckets that cover [start, end), then the end of the last; None when too many."""
    starts = [floor(start, granularity, zone)]
    while starts[-1] < end:
        if len(starts) > most:
            return None
        starts.append(following(starts[-1], granularity, zone))
    return starts
