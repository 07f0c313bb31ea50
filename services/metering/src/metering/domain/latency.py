"""Latency histograms that add up, so that a percentile of any range comes from what its hours counted.

The buckets are fixed: each millisecond below 40, then each bucket ends at most 9 % above its start, up to an hour.
Every latency of a bucket is reported as one number, which is within 5 % of each of them (a test tries them all).

Stored, a histogram is one number whose digits of base 10^12 are the counts: `+` and `sum()` of PostgreSQL then add
histograms, in C and without a row or an element for each bucket.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate

Histogram = dict[int, int]  # bucket → calls: what is counted
Counts = Sequence[int]  # calls of each bucket, up to the last that has any: what is read
_DIGITS = 12  # a count below 10^12: no bucket of 400 days comes near it
_EXACT_BELOW_MS, _LONGEST_MS = 40, 3_600_000


def _upper_bounds() -> tuple[int, ...]:
    bounds, low = [], 0
    while low < _LONGEST_MS:
        bounds.append(low if low < _EXACT_BELOW_MS else low * 109 // 100)
        low = bounds[-1] + 1
    return tuple(bounds)


UPPER_MS = _upper_bounds()
"""The longest latency of each bucket; the last one also takes whatever is longer."""

LOWER_MS = (0, *(bound + 1 for bound in UPPER_MS[:-1]))
_REPORTED_MS = tuple(
    round(2 * low * high / (low + high)) if high else 0 for low, high in zip(LOWER_MS, UPPER_MS, strict=True)
)
_LAST = len(UPPER_MS) - 1
_QUICK = tuple(bisect_left(UPPER_MS, latency) for latency in range(2_048))


def bucket_of(latency_ms: int) -> int:
    """The bucket that counts a latency (0 or more)."""
    if latency_ms < len(_QUICK):
        return _QUICK[latency_ms]
    return min(bisect_left(UPPER_MS, latency_ms), _LAST)


def merge(histogram: Histogram, other: Mapping[int, int]) -> None:
    """`histogram` counts the calls of `other` too."""
    for bucket, calls in other.items():
        histogram[bucket] = histogram.get(bucket, 0) + calls


def to_digits(histogram: Mapping[int, int]) -> str:
    """The histogram as the number that is stored."""
    parts: list[str] = []
    above = 0
    for bucket in sorted(histogram, reverse=True):
        if parts:
            parts.append("0" * (_DIGITS * (above - bucket - 1)))
        parts.append(f"{histogram[bucket]:0{_DIGITS}d}")
        above = bucket
    return "".join(parts) + "0" * (_DIGITS * above) if parts else "0"


def from_digits(digits: str) -> Histogram:
    """The histogram that `digits` store."""
    histogram = {}
    for bucket, end in enumerate(range(len(digits), 0, -_DIGITS)):
        calls = int(digits[max(end - _DIGITS, 0) : end])
        if calls:
            histogram[bucket] = calls
    return histogram


def from_numeric(sent: bytes) -> list[int]:
    """The counts in a stored number as PostgreSQL sends it: digits of base 10,000, of which three are a bucket.

    A page of a time series reads hundreds of these, so nothing here is done digit by digit.
    """
    count, weight = struct.unpack_from("!hh", sent)
    if not count:
        return []
    # The first digit's bucket is begun from its top, the last one's filled down to its end: PostgreSQL drops zeros.
    digits = (0,) * (2 - weight % 3) + struct.unpack_from(f"!{count}h", sent, 8)
    digits += (0,) * (-len(digits) % 3)
    high, middle, low = digits[::3], digits[1::3], digits[2::3]
    if high.count(0) + middle.count(0) < 2 * len(low):
        low = tuple(a * 100_000_000 + b * 10_000 + c for a, b, c in zip(high, middle, low, strict=True))
    return [0] * (weight // 3 + 1 - len(low)) + list(reversed(low))


def percentiles(counts: Counts, *percents: int, refused: int = 0) -> list[int | None]:
    """The latency in ms that each of `percents` of the calls did not exceed, within 5 %; None without a call.

    Of the calls, the `refused` fastest are left out: those that the gateway refused are counted among the others, are
    answered by it alone, and would make an API look fast. Where one of them took longer than a call that reached the
    API, what is said is too high, never too low.
    """
    reached = list(accumulate(counts))
    calls = reached[-1] - refused if reached else 0
    if calls <= 0:
        return [None] * len(percents)
    # The first bucket with which at least so many calls are reached.
    return [_REPORTED_MS[bisect_left(reached, refused - (-calls * percent // 100))] for percent in percents]


def of_the_fastest(counts: Counts, number: int) -> int:
    """What the `number` fastest of the calls took together, in ms: exact where they took less than 40 each."""
    total = 0
    for calls, reported in zip(counts, _REPORTED_MS, strict=False):
        if number <= 0:
            break
        total += min(calls, number) * reported
        number -= calls
    return total
