from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.domain.buckets import Granularity, buckets, floor, following, local_start

BERLIN, KOLKATA, HAVANA = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata"), ZoneInfo("America/Havana")
ZONES = ["UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "America/Havana", "Australia/Lord_Howe"]
ZONES += ["Pacific/Apia", "America/St_Johns"]


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 7, 1), 24)]
)
def test_a_day_has_as_many_hours_as_its_clocks_show(day: date, hours: int) -> None:
    start = local_start(day, BERLIN)
    assert following(start, Granularity.DAY, BERLIN) - start == timedelta(hours=hours)


def test_a_day_whose_midnight_the_clocks_skip_begins_when_they_do() -> None:
    assert local_start(date(2026, 3, 8), HAVANA) == utc(2026, 3, 8, 5)
    assert floor(utc(2026, 3, 8, 4, 59), Granularity.DAY, HAVANA) == utc(2026, 3, 7, 5)


def test_half_hour_zones_have_days_of_whole_utc_hours() -> None:
    assert local_start(date(2026, 11, 15), KOLKATA) == utc(2026, 11, 14, 18)  # midnight is at 18:30
    assert floor(utc(2026, 11, 14, 18, 10), Granularity.DAY, KOLKATA) == utc(2026, 11, 14, 18)
    assert floor(utc(2026, 11, 14, 17, 59), Granularity.DAY, KOLKATA) == utc(2026, 11, 13, 18)
    assert floor(utc(2026, 10, 31, 18, 10), Granularity.MONTH, KOLKATA) == utc(2026, 10, 31, 18)


@given(
    st.integers(0, 5_000_000).map(lambda minutes: utc(2020, 1, 1) + timedelta(minutes=minutes)),
    st.integers(1, 100_000), st.sampled_from(ZONES), st.sampled_from([Granularity.DAY, Granularity.MONTH]),
)  # fmt: skip
def test_buckets_cover_a_range_without_gap_or_overlap(
    start: datetime, minutes: int, name: str, granularity: Granularity
) -> None:
    zone, end = ZoneInfo(name), start + timedelta(minutes=minutes)
    found = buckets(start, end, granularity=granularity, most=1_500, zone=zone)
    assert found is not None
    assert found[0] <= start < found[1]
    assert found[-2] < end <= found[-1]
    for one, next_one in pairwise(found):
        assert one < next_one
        assert following(one, granularity, zone) == next_one
        assert (
            floor(one, granularity, zone) == floor(next_one - timedelta(seconds=1), granularity, zone) == one
        )
