"""Limits in the form that Kong accepts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kong_sync.domain.limits import WINDOWS, Limits, effective_limits, kong_windows

limits = st.builds(Limits, *[st.none() | st.integers(1, 10**6)] * 4)


def test_a_window_without_limit_is_left_out() -> None:
    assert kong_windows(Limits(minute=60)) == {"minute": 60}
    assert kong_windows(Limits()) == {}


def test_a_shorter_window_never_allows_more_than_a_longer_one() -> None:
    assert kong_windows(Limits(second=100, minute=60, hour=1_000)) == {
        "second": 60,
        "minute": 60,
        "hour": 1_000,
    }


@given(limits)
def test_lowering_keeps_the_longest_window_and_never_raises_any(given_limits: Limits) -> None:
    windows = kong_windows(given_limits)
    values = list(windows.values())
    assert values == sorted(values)
    assert set(windows) == {w for w in WINDOWS if getattr(given_limits, w) is not None}
    assert all(windows[w] <= getattr(given_limits, w) for w in windows)


def test_an_override_wins_where_it_speaks() -> None:
    assert effective_limits(Limits(minute=60, day=100), Limits(minute=600)) == Limits(minute=600, day=100)
    assert effective_limits(Limits(minute=60), None) == Limits(minute=60)
