from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from billing.domain.period import Period, billed_month, closes_month, month_of, months
from tests.billing.factories import LAWS, NOVEMBER, at

# Hypothesis wants naive bounds and adds the zone itself.
INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def test_a_cut_on_the_first_instant_closes_the_month_before() -> None:
    assert billed_month(at("12-01")) == NOVEMBER
    assert closes_month(at("12-01"))


def test_a_cut_inside_a_month_bills_that_month_so_far() -> None:
    assert billed_month(at("11-15 12:00")) == NOVEMBER
    assert not closes_month(at("11-15 12:00"))


def test_months_are_utc_wherever_the_time_is_from() -> None:
    tokyo = datetime(2026, 12, 1, 5, tzinfo=timezone(timedelta(hours=9)))
    assert month_of(tokyo) == NOVEMBER


@LAWS
@given(moment=INSTANTS)
def test_every_instant_lies_in_exactly_one_month(moment: datetime) -> None:
    month = month_of(moment)
    assert month.start <= moment < month.end
    assert month_of(month.end).start == month.end
    assert month_of(month.end - timedelta(microseconds=1)) == month


@LAWS
@given(start=INSTANTS, days=st.integers(1, 400))
def test_months_cover_a_period_without_gap_or_overlap(start: datetime, days: int) -> None:
    period = Period(start, start + timedelta(days=days))
    parts = [period.intersect(month) for month in months(period)]
    assert parts[0].start == period.start
    assert parts[-1].end == period.end
    assert sum(part.microseconds for part in parts) == period.microseconds


@LAWS
@given(a=INSTANTS, b=INSTANTS, c=INSTANTS, d=INSTANTS)
def test_what_is_left_and_what_is_common_make_up_the_whole(
    a: datetime, b: datetime, c: datetime, d: datetime
) -> None:
    one, other = Period(min(a, b), max(a, b)), Period(min(c, d), max(c, d))
    left = sum(part.microseconds for part in one.minus(other))
    assert left + one.intersect(other).microseconds == one.microseconds
