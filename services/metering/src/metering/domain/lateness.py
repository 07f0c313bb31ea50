"""Time: what is too late or too early to count, when a period is complete, and which month a call belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

LATEST_ARRIVAL = timedelta(days=45)
CLOCK_SKEW = timedelta(minutes=10)
DAY_MS = 86_400_000
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)


class Arrival(StrEnum):
    """Where an entry stands against the time at which it was taken in."""

    COUNTED = "counted"
    TOO_OLD = "too_old"
    IN_THE_FUTURE = "in_the_future"


def counted_ms(received_ms: int) -> tuple[int, int]:
    """Between which starts a call counts that was taken in at `received_ms`: 45 days before to 10 minutes after it.

    All of them milliseconds since 1970, both ends included.
    """
    return received_ms - LATEST_ARRIVAL // _MILLISECOND, received_ms + CLOCK_SKEW // _MILLISECOND


def arrival(started_ms: float, *, counted: tuple[int, int]) -> Arrival:
    """Where a call that began at `started_ms` stands against the starts that count."""
    first, last = counted
    if started_ms < first:
        return Arrival.TOO_OLD
    return Arrival.IN_THE_FUTURE if started_ms > last else Arrival.COUNTED


def milliseconds(instant: datetime) -> int:
    """Whole milliseconds from 1970 to `instant`."""
    return (instant - _EPOCH) // _MILLISECOND


def months_of(starts_ms: Iterable[int]) -> set[date]:
    """The first days of the UTC months in which calls began at `starts_ms`."""
    days = {start_ms // DAY_MS for start_ms in starts_ms}
    return {(_EPOCH.date() + timedelta(days=day)).replace(day=1) for day in days}


def month_of(instant: datetime) -> date:
    """The first day of the UTC month of `instant`."""
    return instant.astimezone(UTC).date().replace(day=1)


def next_month(month: date) -> date:
    """The first day of the month after `month`."""
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1)


def start_of(day: date) -> datetime:
    """Midnight UTC at which `day` begins."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def month_start(until: datetime) -> datetime:
    """Where the month begins that a cut-off at `until` totals: at the first of a month, the whole month before."""
    return start_of(month_of(until - timedelta(microseconds=1)))


def closed_month(until: datetime) -> date | None:
    """The month that a cut-off at `until` closes for good; None for a cut inside a month."""
    return month_of(month_start(until)) if until == start_of(month_of(until)) else None


def is_complete(until: datetime, *, watermarks: Iterable[datetime | None], grace: timedelta) -> bool:
    """True when every partition has been read past `until` + `grace`. No partitions: nothing is known, so False."""
    marks = list(watermarks)
    return bool(marks) and all(mark is not None and mark > until + grace for mark in marks)
