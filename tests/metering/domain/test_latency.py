from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from metering.domain.latency import (
    LOWER_MS,
    UPPER_MS,
    Histogram,
    bucket_of,
    from_digits,
    from_numeric,
    merge,
    of_the_fastest,
    percentiles,
    to_digits,
)

latencies = st.lists(st.integers(0, 90_000_000), max_size=60)


def histogram_of(*values: int) -> Histogram:
    histogram: Histogram = {}
    for value in values:
        merge(histogram, {bucket_of(value): 1})
    return histogram


def percentile(histogram: Histogram, percent: int) -> int | None:
    [found] = percentiles(counts_of(histogram), percent)
    return found


def exactly(values: list[int], percent: int) -> int:
    return sorted(values)[-(-len(values) * percent // 100) - 1]


def counts_of(histogram: Histogram) -> list[int]:
    return from_numeric(sent(int(to_digits(histogram))))


def sent(number: int) -> bytes:
    """As PostgreSQL sends a numeric: digits of base 10,000, no zeros at either end, and the first one's weight."""
    digits: list[int] = []
    while number:
        number, digit = divmod(number, 10_000)
        digits.insert(0, digit)
    weight = len(digits) - 1
    while digits and not digits[-1]:
        digits.pop()
    return struct.pack(f"!hhhh{len(digits)}h", len(digits), weight if digits else 0, 0, 0, *digits)


def test_every_latency_up_to_an_hour_is_reported_within_five_percent() -> None:
    assert UPPER_MS[-1] >= 3_600_000
    for bucket, (low, high) in enumerate(zip(LOWER_MS, UPPER_MS, strict=True)):
        assert bucket_of(low) == bucket_of(high) == bucket
        reported = percentile({bucket: 1}, 50)
        assert reported is not None
        # The ends of a bucket are the furthest from what is reported for it.
        assert abs(reported - low) <= low * 0.05
        assert abs(reported - high) <= high * 0.05
    assert list(LOWER_MS[1:]) == [bound + 1 for bound in UPPER_MS[:-1]]  # without a gap
    assert bucket_of(86_400_000) == len(UPPER_MS) - 1


def test_percentiles_are_ranks() -> None:
    histogram = histogram_of(*range(1, 11), 1_000)
    assert percentile(histogram, 50) == 6
    assert percentile(histogram, 90) == 10
    assert percentile(histogram, 99) == percentile(histogram, 100) == 1_035
    assert percentile({}, 99) is None
    assert percentile({0: 7}, 99) == 0


@given(latencies, latencies)
def test_stored_numbers_add_up_as_histograms_do(some: list[int], others: list[int]) -> None:
    one, two = histogram_of(*some), histogram_of(*others)
    stored = str(int(to_digits(one)) + int(to_digits(two)))  # what `+` of PostgreSQL makes of them
    assert from_digits(stored) == histogram_of(*some, *others)
    assert sum(from_digits(stored).values()) == len(some) + len(others)


@given(
    st.dictionaries(
        st.integers(0, len(UPPER_MS) - 1), st.sampled_from((1, 9_999, 10_000, 99_999_999, 10**12 - 1))
    )
)
def test_counts_are_read_as_they_were_stored(histogram: Histogram) -> None:
    counts = counts_of(histogram)
    assert {bucket: calls for bucket, calls in enumerate(counts) if calls} == histogram
    assert not counts or counts[-1]


@given(st.lists(st.integers(0, 3_600_000), min_size=1, max_size=60), st.integers(1, 100))
def test_a_percentile_is_near_the_exact_one(values: list[int], percent: int) -> None:
    exact = exactly(values, percent)
    found = percentile(histogram_of(*values), percent)
    assert found is not None
    assert abs(found - exact) <= exact * 0.05


@given(
    st.lists(st.integers(0, 3_600_000), min_size=1, max_size=40),
    st.lists(st.integers(0, 3_600_000), max_size=40),
    st.integers(1, 100),
)
def test_refused_calls_never_make_the_others_look_faster(
    let_through: list[int], refused: list[int], percent: int
) -> None:
    counts = counts_of(histogram_of(*let_through, *refused))
    [found] = percentiles(counts, percent, refused=len(refused))
    exact = exactly(let_through, percent)
    assert found is not None
    assert found >= exact * 0.95
    if max(refused, default=0) <= min(let_through):  # the gateway alone is faster than with an API behind it
        assert found <= exact * 1.05


def test_where_all_calls_were_refused_there_is_no_latency() -> None:
    assert percentiles(counts_of({2: 7}), 50, 99, refused=7) == [None, None]


def test_the_fastest_calls_time_is_summed() -> None:
    counts = counts_of({2: 3, 10: 4, 39: 1})
    assert [of_the_fastest(counts, n) for n in (0, 2, 3, 5, 8, 9)] == [0, 4, 6, 26, 85, 85]
