from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.domain.quota import QuotaState, overshoot, state_of


@pytest.mark.parametrize(
    ("used", "limit", "state"),
    [
        (0, 100, QuotaState.OK), (89, 100, QuotaState.OK), (90, 100, QuotaState.WARNING), (99, 100, QuotaState.WARNING),
        (100, 100, QuotaState.REACHED), (250, 100, QuotaState.REACHED), (10**9, None, QuotaState.OK),
        (0, 0, QuotaState.REACHED), (13, 15, QuotaState.OK), (14, 15, QuotaState.WARNING),
    ],
)  # fmt: skip
def test_a_quota_warns_at_nine_tenths_and_is_reached_at_the_limit(
    used: int, limit: int | None, state: QuotaState
) -> None:
    assert state_of(used, limit) is state


ORDER = list(QuotaState)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_more_use_never_lowers_the_state_and_a_higher_limit_never_raises_it(
    used: int, more: int, limit: int
) -> None:
    assert ORDER.index(state_of(used, limit)) <= ORDER.index(state_of(used + more, limit))
    assert ORDER.index(state_of(used, limit + more)) <= ORDER.index(state_of(used, limit))


@pytest.mark.parametrize(
    ("used", "limit", "added", "above"),
    [(9, 10, 9, 0), (10, 10, 1, 0), (12, 10, 5, 2), (12, 10, 1, 1), (5, 0, 5, 5), (12, None, 12, 0)],
)
def test_of_what_was_added_only_what_lies_above_the_limit_is_overshoot(
    used: int, limit: int | None, added: int, above: int
) -> None:
    assert overshoot(used, limit, added=added) == above


@given(st.lists(st.integers(0, 100)), st.integers(0, 1_000))
def test_however_it_is_cut_into_batches_the_overshoot_is_what_lies_above(
    batches: list[int], limit: int
) -> None:
    used, above = 0, 0
    for added in batches:
        used += added
        above += overshoot(used, limit, added=added)
    assert above == max(0, used - limit)
