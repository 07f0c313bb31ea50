from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.domain.lateness import (
    Arrival,
    arrival,
    closed_month,
    counted_ms,
    is_complete,
    milliseconds,
    month_start,
    next_month,
)

NOW = datetime(2026, 11, 15, 12, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("started_at", "expected"),
    [
        (NOW, Arrival.COUNTED),
        (NOW - timedelta(days=45), Arrival.COUNTED),
        (NOW - timedelta(days=45) - MILLISECOND, Arrival.TOO_OLD),
        (NOW + timedelta(minutes=10), Arrival.COUNTED),
        (NOW + timedelta(minutes=10) + MILLISECOND, Arrival.IN_THE_FUTURE),
        (datetime(1970, 1, 1, tzinfo=UTC), Arrival.TOO_OLD),
    ],
)
def test_calls_from_45_days_back_to_10_minutes_ahead_count(started_at: datetime, expected: Arrival) -> None:
    assert arrival(milliseconds(started_at), counted=counted_ms(milliseconds(NOW))) is expected


def test_a_cut_inside_a_month_totals_that_month_and_closes_nothing() -> None:
    assert month_start(NOW) == datetime(2026, 11, 1, tzinfo=UTC)
    assert closed_month(NOW) is None


def test_a_cut_at_the_first_totals_the_whole_month_before_and_closes_it() -> None:
    first = datetime(2027, 1, 1, tzinfo=UTC)
    assert month_start(first) == datetime(2026, 12, 1, tzinfo=UTC)
    assert closed_month(first) == date(2026, 12, 1)


def test_a_period_is_complete_when_every_partition_is_past_it_and_its_grace() -> None:
    grace = timedelta(seconds=3)
    past = NOW + grace + MILLISECOND
    assert is_complete(NOW, watermarks=[past, past], grace=grace)
    assert not is_complete(NOW, watermarks=[past, NOW + grace], grace=grace)
    assert not is_complete(NOW, watermarks=[past, None], grace=grace)
    assert not is_complete(NOW, watermarks=[], grace=grace)


@given(st.dates(date(2020, 1, 1), date(2100, 1, 1)))
def test_the_next_month_begins_within_31_days_on_a_first(day: date) -> None:
    following = next_month(day)
    assert following.day == 1
    assert timedelta(0) < following - day <= timedelta(days=31)
