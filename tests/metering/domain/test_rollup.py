from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from metering.domain.call import Call
from metering.domain.latency import merge
from metering.domain.rollup import TOTALS, Totals, by_counter, by_day, by_hour, by_subscription_day
from tests.metering.factories import AT, CONSUMER_ORG, PLAN_VERSION, SUBSCRIPTION, a_call


def totals_of(*calls: Call) -> Totals:
    totals = Totals()
    for call in calls:
        totals.count(call)
    return totals


def test_each_call_is_in_exactly_one_class() -> None:
    refused = {"source": "gateway", "billable": False, "units": 0}
    totals = totals_of(
        a_call(1), a_call(2, status=404), a_call(3, status=500, billable=False, units=0),
        a_call(4, status=429, **refused),
        a_call(5, status=403, **refused), a_call(6, status=401, **refused), a_call(7, status=502, **refused),
        a_call(8, status=413, **refused), a_call(9, status=429), a_call(10, status=403),
    )  # fmt: skip
    assert (totals.calls, totals.billable_calls, totals.units) == (10, 4, 4)
    assert (totals.errors_4xx, totals.errors_5xx) == (4, 2)  # an upstream's own 403 and 429 are its errors
    assert (totals.rejected_rate_limited, totals.rejected_forbidden, totals.rejected_unauthorized) == (
        1,
        1,
        1,
    )


def test_hours_and_days_go_by_the_start_of_the_call_in_utc() -> None:
    last = datetime(2026, 11, 30, 23, 59, 59, 999_000, tzinfo=UTC)
    hours = by_hour([a_call(1, started_at=last), a_call(2, started_at=last + timedelta(milliseconds=1))])
    assert sorted(hour for hour, _ in hours) == [
        datetime(2026, 11, 30, 23, tzinfo=UTC),
        datetime(2026, 12, 1, tzinfo=UTC),
    ]
    assert sorted(day for day, _ in by_day(hours)) == [date(2026, 11, 30), date(2026, 12, 1)]


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
    days = by_subscription_day(by_day(by_hour(calls)))
    [(key, day)] = days.items()
    assert (key.subscription_id, key.plan_version_id, day.totals.calls) == (SUBSCRIPTION, PLAN_VERSION, 1)
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
    whole, total = by_hour(calls), totals_of(*calls)
    parts = by_hour(calls[:cut])
    for key, bucket in by_hour(calls[cut:]).items():
        if key in parts:
            parts[key].totals.add(bucket.totals)
            merge(parts[key].latencies, bucket.latencies)
        else:
            parts[key] = bucket
    assert parts == whole
    for buckets in (whole, by_day(whole)):
        assert {n: sum(getattr(b.totals, n) for b in buckets.values()) for n in TOTALS} == {
            n: getattr(total, n) for n in TOTALS
        }
        assert sum(sum(b.latencies.values()) for b in buckets.values()) == total.calls
    live = totals_of(*(c for c in calls if not c.is_test))
    assert sum(d.totals.units for d in by_subscription_day(by_day(whole)).values()) == live.units


def test_adding_leaves_no_total_out() -> None:
    sum_ = Totals(**dict.fromkeys(TOTALS, 1))
    sum_.add(Totals(**dict.fromkeys(TOTALS, 2)))
    assert sum_ == Totals(**dict.fromkeys(TOTALS, 3))
