from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from metering.domain.windows import Grain, ceil_day, ceil_hour, split

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
instants = st.integers(0, 60 * 86_400_000).map(lambda ms: FIRST + timedelta(milliseconds=ms))


def test_whole_days_come_from_days_and_ragged_ends_from_hours_and_raw_rows() -> None:
    start = datetime(2026, 11, 3, 22, 30, tzinfo=UTC)
    pieces = split(start, datetime(2026, 11, 6, 1, 15, tzinfo=UTC))
    assert [(p.grain.value, p.start.strftime("%d %H:%M"), p.end.strftime("%d %H:%M")) for p in pieces] == [
        ("raw", "03 22:30", "03 23:00"), ("hour", "03 23:00", "04 00:00"), ("day", "04 00:00", "06 00:00"),
        ("hour", "06 00:00", "06 01:00"), ("raw", "06 01:00", "06 01:15"),
    ]  # fmt: skip


@given(instants, instants)
def test_the_pieces_cover_the_range_exactly_and_raw_rows_less_than_two_hours(
    start: datetime, end: datetime
) -> None:
    pieces = split(start, end)
    if start >= end:
        assert pieces == []
        return
    assert (pieces[0].start, pieces[-1].end) == (start, end)
    assert all(a.end == b.start for a, b in itertools.pairwise(pieces))
    for piece in pieces:
        assert piece.start < piece.end
        if piece.grain is Grain.HOUR:
            assert (ceil_hour(piece.start), ceil_hour(piece.end)) == (piece.start, piece.end)
        if piece.grain is Grain.DAY:
            assert (ceil_day(piece.start), ceil_day(piece.end)) == (piece.start, piece.end)
    raw = sum((p.end - p.start for p in pieces if p.grain is Grain.RAW), timedelta())
    assert raw < timedelta(hours=2)
