from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.domain.call import Call
from metering.domain.delta import by_subscription_day, fold
from metering.domain.latency import bucket_of, merge
from metering.domain.lateness import milliseconds
from metering.domain.rollup import Totals, by_counter, class_of
from tests.metering.factories import AT, CONSUMER_ORG, PLAN_VERSION, SUBSCRIPTION, a_call


def totals_of(calls: list[Call]) -> Totals:
    """What all of `calls` add."""
    totals = Totals()
    for key, delta in fold(calls).items():
        for name in ("calls", "billable_calls", "units", "bytes_in", "bytes_out", "latency_ms"):
            setattr(totals, name, getattr(totals, name) + getattr(delta, name))
        if key.status is not None:
            name = class_of(key.status, key.source or "")
            setattr(totals, name, getattr(totals, name) + delta.calls)
    return totals


def test_each_call_is_in_exactly_one_class() -> None:
    refused = {"source": "gateway", "billable": False, "units": 0}
    totals = totals_of([
        a_call(1), a_call(2, status=404), a_call(3, status=500, billable=False, units=0),
        a_call(4, status=429, **refused),
        a_call(5, status=403, **refused), a_call(6, status=401, **refused), a_call(7, status=502, **refused),
        a_call(8, status=413, **refused), a_call(9, status=429), a_call(10, status=403),
    ])  # fmt: skip
    assert (totals.calls, totals.billable_calls, totals.units) == (10, 4, 4)
    assert (totals.errors_4xx, totals.errors_5xx) == (4, 2)  # an upstream's own 403 and 429 are its errors
    assert (totals.rejected_rate_limited, totals.rejected_forbidden, totals.rejected_unauthorized) == (
        1,
        1,
        1,
    )


def test_hours_and_days_go_by_the_start_of_the_call_in_utc() -> None:
    last = datetime(2026, 11, 30, 23, 59, 59, 999_000, tzinfo=UTC)
    deltas = fold([a_call(1, started_at=last), a_call(2, started_at=last + timedelta(milliseconds=1))])
    assert sorted(key.hour * 3_600_000 for key in deltas) == [
        milliseconds(datetime(2026, 11, 30, 23, tzinfo=UTC)),
        milliseconds(datetime(2026, 12, 1, tzinfo=UTC)),
    ]
    assert sorted(key.day for key in by_subscription_day(deltas)) == [date(2026, 11, 30), date(2026, 12, 1)]


@pytest.mark.parametrize(
    "other",
    [
        {"is_test": True},
        {"key_id": None},
        {"endpoint_id": "e1"},
        {"country": "DE"},
        {"status": 404},
        {"started_at": AT + timedelta(hours=1)},
    ],
)
def test_what_any_rollup_tells_apart_is_apart(other: dict[str, Any]) -> None:
    assert len(fold([a_call(1), a_call(2, **other)])) == 2
    assert len(fold([a_call(1, **other), a_call(2, **other)])) == 1


def test_statuses_are_only_told_apart_where_they_are_errors_and_the_newest_is_the_example() -> None:
    [(key, _)] = fold([a_call(1, status=200), a_call(2, status=301)]).items()
    assert (key.status, key.source) == (None, None)
    newest = a_call(2, status=503, started_at=AT + timedelta(seconds=2))
    [(key, delta)] = fold([a_call(1, status=503), newest, a_call(3, status=503)]).items()
    assert (key.status, key.source, delta.example) == (503, "upstream", newest.request_id)
    assert delta.last_ms == newest.started_ms


def test_test_keys_and_anonymous_calls_reach_no_invoice_and_no_quota() -> None:
    calls = [
        a_call(1, is_test=True, billable=False, units=0),
        a_call(
            2,
            subscription_id=None,
            plan_version_id=None,
            key_id=None,
            consumer_org=None,
            billable=False,
            units=0,
        ),
        a_call(3, units=5),
    ]
    days = by_subscription_day(fold(calls))
    [(key, day)] = days.items()
    assert (key.subscription_id, key.plan_version_id, day.units) == (SUBSCRIPTION, PLAN_VERSION, 5)
    [(counter, use)] = by_counter(days).items()
    assert (counter, use.units) == ((CONSUMER_ORG, day.api_id, date(2026, 11, 1)), 5)


calls_strategy = st.lists(
    st.builds(
        lambda number, minutes, status, units, test, endpoint, latency: a_call(
            number, started_at=AT + timedelta(minutes=minutes), status=status, units=units, is_test=test,
            endpoint_id=endpoint, latency_ms=latency,
        ),
        st.integers(0, 10**6), st.integers(-5000, 5000), st.sampled_from([200, 404, 429, 500]),
        st.integers(0, 9), st.booleans(), st.sampled_from([None, "e1", "e2"]),
        st.integers(0, 10_000),
    ),
    max_size=40,
)  # fmt: skip


@given(calls_strategy, st.integers(0, 40))
def test_folding_loses_nothing_and_batches_may_be_cut_anywhere(calls: list[Call], cut: int) -> None:
    whole, parts = fold(calls), fold(calls[:cut])
    for key, delta in fold(calls[cut:]).items():
        before = parts.setdefault(key, type(delta)())
        for name in ("calls", "billable_calls", "units", "bytes_in", "bytes_out", "latency_ms"):
            setattr(before, name, getattr(before, name) + getattr(delta, name))
        merge(before.latencies, delta.latencies)
        if delta.last_ms > before.last_ms:
            before.last_ms, before.example = delta.last_ms, delta.example
    assert parts == whole
    for name in ("units", "bytes_in", "bytes_out", "latency_ms"):
        assert sum(getattr(delta, name) for delta in whole.values()) == sum(getattr(c, name) for c in calls)
    assert totals_of(calls).calls == len(calls) == sum(sum(d.latencies.values()) for d in whole.values())
    assert {b for d in whole.values() for b in d.latencies} == {bucket_of(c.latency_ms) for c in calls}
    live = [c for c in calls if not c.who.is_test]
    assert sum(d.units for d in by_subscription_day(whole).values()) == sum(c.units for c in live)
