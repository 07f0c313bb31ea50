"""Periods: calendar months in UTC, half-open, so that every instant belongs to exactly one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """From `start` until `end`, the end not included; both aware."""

    start: datetime
    end: datetime

    @property
    def is_empty(self) -> bool:
        """No instant lies in it."""
        return self.end <= self.start

    @property
    def microseconds(self) -> int:
        """Its length as a whole number, the exact basis of every proration."""
        return 0 if self.is_empty else (self.end - self.start) // _MICROSECOND

    def intersect(self, other: Period) -> Period:
        """What lies in both, possibly nothing."""
        return Period(max(self.start, other.start), min(self.end, other.end))

    def minus(self, other: Period) -> list[Period]:
        """The up to two parts of this period that `other` does not cover."""
        if self.intersect(other).is_empty:
            return [] if self.is_empty else [self]
        parts = [Period(self.start, other.start), Period(other.end, self.end)]
        return [part for part in parts if not part.is_empty]


def month_start(moment: datetime) -> datetime:
    """The first instant of the calendar month in UTC that `moment` lies in."""
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def month_of(moment: datetime) -> Period:
    """The calendar month in UTC that `moment` lies in."""
    start = month_start(moment)
    return Period(start, month_start(start + timedelta(days=32)))


def billed_month(until: datetime) -> Period:
    """The month whose usage a cut-off at `until` bills: the one before when it falls on a month's first instant."""
    return month_of(until - _MICROSECOND)


def closes_month(until: datetime) -> bool:
    """The cut-off is a month's first instant: what it bills is complete."""
    return month_start(until) == until


def months(period: Period) -> Iterator[Period]:
    """Every calendar month that `period` touches, in order."""
    month = month_of(period.start)
    while month.start < period.end:
        yield month
        month = month_of(month.end)
