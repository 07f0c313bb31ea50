from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from billing.domain.period import Period
from billing.domain.proration import allowance, prorate
from tests.billing.factories import LAWS, NOVEMBER, at, terms

PARTS = st.tuples(st.integers(0, 30 * 86400), st.integers(0, 30 * 86400)).map(
    lambda s: Period(NOVEMBER.start + timedelta(seconds=min(s)), NOVEMBER.start + timedelta(seconds=max(s)))
)


def test_half_a_month_costs_half_the_fee() -> None:
    assert prorate(1900, part=Period(at("11-16"), at("12-01")), whole=NOVEMBER) == 950


def test_a_half_rounds_up_once() -> None:
    assert prorate(1901, part=Period(at("11-16"), at("12-01")), whole=NOVEMBER) == 951


def test_a_full_allowance_is_full_in_a_part_of_a_month() -> None:
    assert allowance(terms(), microseconds=1, whole=NOVEMBER, used_before=0) == 100


def test_what_was_called_before_counts_against_a_full_allowance() -> None:
    assert [allowance(terms(), microseconds=1, whole=NOVEMBER, used_before=n) for n in (30, 130)] == [70, 0]


def test_a_prorated_allowance_rounds_down() -> None:
    sold = terms(first_period_allowance="prorated", included_requests=101)
    half = NOVEMBER.microseconds // 2
    assert allowance(sold, microseconds=half, whole=NOVEMBER, used_before=0) == 50


@LAWS
@given(amount=st.integers(0, 10**12), part=PARTS)
def test_a_proration_never_exceeds_the_full_price(amount: int, part: Period) -> None:
    assert 0 <= prorate(amount, part=part, whole=NOVEMBER) <= amount


@LAWS
@given(amount=st.integers(0, 10**9), part=PARTS)
def test_two_parts_of_a_month_differ_from_the_whole_by_at_most_one(amount: int, part: Period) -> None:
    cut = Period(NOVEMBER.start, part.end), Period(part.end, NOVEMBER.end)
    total = sum(prorate(amount, part=p, whole=NOVEMBER) for p in cut)
    assert abs(total - amount) <= 1
