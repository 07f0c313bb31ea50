"""Packed rows are read back by PostgreSQL in tests/metering/usecases; here, what of them is arithmetic."""

from __future__ import annotations

from struct import unpack

from hypothesis import given
from hypothesis import strategies as st

from metering.domain.latency import UPPER_MS, to_digits
from metering.domain.pack import CALL_COLUMNS, DELTA_COLUMNS, pack_histogram


def numeric(packed: bytes) -> int:
    """The number that PostgreSQL reads."""
    length, count, weight, sign, scale = unpack("!ihhhh", packed[:12])
    assert (length, sign, scale, len(packed)) == (8 + 2 * count, 0, 0, 12 + 2 * count)
    digits = unpack(f"!{count}h", packed[12:])
    assert all(0 <= digit < 10_000 for digit in digits)
    return sum(digit * 10_000 ** (weight - place) for place, digit in enumerate(digits))


@given(
    st.dictionaries(
        st.integers(0, len(UPPER_MS) - 1),
        st.integers(1, 9_999) | st.integers(1, 10**12 - 1),
        min_size=1,
        max_size=12,
    )
)
def test_a_histogram_is_packed_as_the_number_that_stands_for_it(histogram: dict[int, int]) -> None:
    assert numeric(pack_histogram(histogram)) == int(to_digits(histogram))


def test_every_column_is_packed_once() -> None:
    for columns in (CALL_COLUMNS, DELTA_COLUMNS):
        assert len(set(columns)) == len(columns)
