"""A range of time as pieces that rollups answer, with raw rows only for the ragged ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum


class Grain(StrEnum):
    """What answers a piece of a range."""

    RAW = "raw"
    HOUR = "hour"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open range [start, end), whole in its grain."""

    grain: Grain
    start: datetime
    end: datetime


def floor_hour(instant: datetime) -> datetime:
    """The start of the UTC hour of `instant`."""
    return instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def floor_day(instant: datetime) -> datetime:
    """The start of the UTC day of `instant`."""
    return floor_hour(instant).replace(hour=0)


def ceil_hour(instant: datetime) -> datetime:
    """The start of the next UTC hour, or `instant` itself when it is one."""
    floor = floor_hour(instant)
    return floor if floor == instant else floor + timedelta(hours=1)


def ceil_day(instant: datetime) -> datetime:
    """The start of the next UTC day, or `instant` itself when it is one."""
    floor = floor_day(instant)
    return floor if floor == instant else floor + timedelta(days=1)


def split(start: datetime, end: datetime) -> list[Window]:
    """[start, end) in order, without gap or overlap: whole days, around them whole hours, raw rows at the edges."""
    if start >= end:
        return []
    first_hour, last_hour = ceil_hour(start), floor_hour(end)
    if first_hour > last_hour:  # inside one hour
        return [Window(Grain.RAW, start, end)]
    first_day, last_day = ceil_day(first_hour), floor_day(last_hour)
    if first_day > last_day:  # inside one day
        middle = [Window(Grain.HOUR, first_hour, last_hour)]
    else:
        middle = [
            Window(Grain.HOUR, first_hour, first_day),
            Window(Grain.DAY, first_day, last_day),
            Window(Grain.HOUR, last_day, last_hour),
        ]
    pieces = [Window(Grain.RAW, start, first_hour), *middle, Window(Grain.RAW, last_hour, end)]
    return [piece for piece in pieces if piece.start < piece.end]


def without_raw(windows: Iterable[Window], *, rows_from: datetime) -> list[Window]:
    """`windows`, where raw pieces from before `rows_from` are the whole hours around them: their rows are gone."""
    return [
        Window(Grain.HOUR, floor_hour(window.start), ceil_hour(window.end))
        if window.grain is Grain.RAW and window.start < rows_from
        else window
        for window in windows
    ]
