from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.domain.alert import (
    AlertKind,
    AlertPeriod,
    AlertRule,
    Crossing,
    Reading,
    Verdict,
    check,
    judge,
    measured,
    next_look,
    periods_to_read,
    quota_share,
    silence,
)
from metering.domain.errors import AlertRuleInvalid
from metering.domain.rollup import Totals, Usage
from tests.metering.factories import API, CONSUMER_ORG, SUBSCRIPTION

NOON = datetime(2026, 11, 15, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ID = UUID(int=1)


def a_rule(**overrides: Any) -> AlertRule:
    values: dict[str, Any] = {
        "id": ID, "organisation_id": UUID(CONSUMER_ORG), "version": 1, "name": "errors", "kind": AlertKind.ERROR_RATE,
        "subscription_id": UUID(SUBSCRIPTION), "api_id": None, "threshold": Decimal(10), "period": AlertPeriod.HOUR,
        "min_calls": 10, "enabled": True, "silenced_until": None, "tested_at": None, "created_at": NOON - 48 * HOUR,
        "updated_at": NOON, "deleted_at": None,
    }  # fmt: skip
    return AlertRule(**values | overrides)


def a_crossing(**overrides: Any) -> Crossing:
    values: dict[str, Any] = {
        "id": ID, "rule_id": ID, "organisation_id": ID, "period_start": NOON, "threshold": Decimal(10),
        "value": Decimal(12), "unit": "percent", "fired_at": NOON, "resolved_at": None, "resolved_value": None,
        "announced": True, "silenced": False, "version": 1,
    }  # fmt: skip
    return Crossing(**values | overrides)


def a_reading(value: object, *, start: datetime = NOON, complete: bool = False) -> Reading:
    return Reading(start, None if value is None else Decimal(str(value)), "percent", complete)


RESOLVED = a_crossing(resolved_at=NOON)


@pytest.mark.parametrize(
    ("last", "reading", "verdict"),
    [
        (None, a_reading("9.999"), Verdict.NOTHING),
        (None, a_reading(10), Verdict.FIRE),  # reached is crossed
        (None, a_reading(100), Verdict.FIRE),  # jumped over
        (None, a_reading(None), Verdict.NOTHING),
        (a_crossing(), a_reading(12), Verdict.NOTHING),  # it lasts
        (a_crossing(), a_reading(12, start=NOON + HOUR), Verdict.NOTHING),  # beyond its period, too
        (a_crossing(), a_reading(9), Verdict.NOTHING),  # it dances around the threshold
        (a_crossing(), a_reading("8.999"), Verdict.RESOLVE),
        (
            a_crossing(),
            a_reading("9.9", start=NOON + HOUR),
            Verdict.RESOLVE,
        ),  # a new period begins at the threshold
        (
            a_crossing(),
            a_reading(0, start=NOON - HOUR),
            Verdict.NOTHING,
        ),  # what was before says nothing of now
        (a_crossing(), a_reading(None, start=NOON + HOUR), Verdict.NOTHING),  # not enough calls yet
        (
            a_crossing(),
            a_reading(None, start=NOON + HOUR, complete=True),
            Verdict.RESOLVE,
        ),  # and never enough
        (RESOLVED, a_reading(12), Verdict.NOTHING),  # once a period
        (RESOLVED, a_reading(12, start=NOON - HOUR), Verdict.NOTHING),
        (RESOLVED, a_reading(12, start=NOON + HOUR), Verdict.FIRE),
        (
            replace(RESOLVED, threshold=Decimal(5)),
            a_reading(12),
            Verdict.FIRE,
        ),  # another threshold is another crossing
        (
            a_crossing(threshold=Decimal(5)),
            a_reading(12),
            Verdict.RESOLVE,
        ),  # that of the old threshold is over
    ],
)
def test_a_crossing_fires_once_and_ends_once(
    last: Crossing | None, reading: Reading, verdict: Verdict
) -> None:
    assert judge(a_rule(), reading, last) is verdict


def test_a_rule_that_is_off_fires_nothing_and_ends_what_it_fired() -> None:
    for off in (a_rule(enabled=False), a_rule(deleted_at=NOON)):
        assert judge(off, a_reading(50), None) is Verdict.NOTHING
        assert judge(off, a_reading(50), a_crossing()) is Verdict.RESOLVE


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20)), max_size=40))
def test_whatever_the_values_do_firing_and_resolving_alternate_and_no_period_fires_twice(
    values: list[tuple[int, int]],
) -> None:
    last: Crossing | None = None
    fired: list[datetime] = []
    for hour, value in sorted(values, key=lambda v: v[0]):
        reading = a_reading(value, start=NOON + hour * HOUR)
        verdict = judge(a_rule(), reading, last)
        if verdict is Verdict.FIRE:
            assert last is None or last.resolved_at is not None
            fired.append(reading.period_start)
            last = a_crossing(period_start=reading.period_start)
        elif verdict is Verdict.RESOLVE:
            assert last is not None
            assert last.resolved_at is None
            last = replace(last, resolved_at=NOON)
    assert len(fired) == len(set(fired))


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        ({"subscription_id": None}, "subscription_id"),
        ({"api_id": UUID(API)}, "subscription_id"),
        (
            {"kind": AlertKind.SPEND, "subscription_id": None, "api_id": UUID(API), "period": "month"},
            "api_id",
        ),
        ({"kind": AlertKind.QUOTA_SHARE}, "period"),
        ({"period": AlertPeriod.MONTH}, "period"),
        ({"threshold": Decimal("100.1")}, "threshold"),
        ({"kind": AlertKind.NO_TRAFFIC, "threshold": Decimal("1.5")}, "threshold"),
    ],
)
def test_a_rule_that_cannot_be_watched_is_refused_by_its_field(overrides: dict[str, Any], field: str) -> None:
    with pytest.raises(AlertRuleInvalid) as refused:
        check(a_rule(**overrides))
    assert refused.value.field == field


def test_rates_need_enough_calls_and_are_shown_rounded_down() -> None:
    totals = Usage(
        Totals(calls=30, errors_5xx=2, latency_ms=100), [28 * (b == 3) + (b in (12, 30)) for b in range(31)]
    )
    reading = measured(a_rule(), totals, start=NOON, as_of=NOON + HOUR)
    assert reading == Reading(NOON, Decimal("6.666"), "percent", complete=True)
    slow = a_rule(kind=AlertKind.LATENCY_MEAN)
    assert measured(slow, totals, start=NOON, as_of=None) == Reading(
        NOON, Decimal("3.333"), "ms", complete=False
    )
    for kind, latency in ((AlertKind.LATENCY_P95, 12), (AlertKind.LATENCY_P99, 30)):
        assert measured(a_rule(kind=kind), totals, start=NOON, as_of=None).value == latency
    assert measured(a_rule(min_calls=31), totals, start=NOON, as_of=None).value is None
    totals.totals.rejected_rate_limited = 27  # the fastest, three milliseconds each
    assert measured(a_rule(min_calls=30), totals, start=NOON, as_of=None).value == Decimal("6.666")
    assert measured(slow, totals, start=NOON, as_of=None).value is None  # too few that were let through
    some = replace(slow, min_calls=3)
    assert measured(some, totals, start=NOON, as_of=None).value == Decimal("6.333")
    assert measured(replace(some, kind=AlertKind.LATENCY_P95), totals, start=NOON, as_of=None).value == 30
    assert quota_share(9, 8, start=NOON).value == Decimal("112.5")
    assert quota_share(9, None, start=NOON).value is None


@pytest.mark.parametrize(
    ("last_hour", "as_of", "hours"),
    [
        (NOON - 3 * HOUR, NOON, 2),  # called in the hour from nine: silent from ten to twelve
        (NOON, NOON + timedelta(minutes=5), 0),  # called just now
        (None, NOON, 47),  # never called since the rule was made
        (NOON - 3 * HOUR, NOON - 2 * HOUR, 0),  # what is not counted yet may be a call
    ],
)
def test_silence_is_counted_in_whole_hours_that_are_known(
    last_hour: datetime | None, as_of: datetime, hours: int
) -> None:
    quiet = a_rule(kind=AlertKind.NO_TRAFFIC, created_at=NOON - 48 * HOUR)
    reading = silence(quiet, last_hour, now=NOON + timedelta(minutes=5), as_of=as_of)
    assert (reading.value, reading.unit) == (Decimal(hours), "hours")
    assert silence(quiet, last_hour, now=NOON, as_of=None).value is None


def test_the_period_before_is_read_too_unless_the_rule_is_younger() -> None:
    assert periods_to_read(a_rule(), NOON) == [NOON - HOUR, NOON]
    assert periods_to_read(a_rule(created_at=NOON), NOON) == [NOON]
    month = a_rule(kind=AlertKind.SPEND, period=AlertPeriod.MONTH)
    assert periods_to_read(month, NOON) == [datetime(2026, 11, 1, tzinfo=UTC)]


def test_time_alone_brings_a_rule_back_only_where_it_can_change_something() -> None:
    now = NOON + timedelta(minutes=20)
    after = NOON + HOUR + timedelta(seconds=10)
    assert next_look(a_rule(), None, now=now, as_of=now) is None
    assert next_look(a_rule(), a_crossing(), now=now, as_of=now) == after
    assert next_look(a_rule(), RESOLVED, now=now, as_of=now) is None
    assert next_look(a_rule(kind=AlertKind.NO_TRAFFIC), None, now=now, as_of=now) == after
    assert next_look(a_rule(), a_crossing(), now=now, as_of=NOON - HOUR) == now + timedelta(seconds=30)
    quiet = a_rule(silenced_until=now + timedelta(minutes=1))
    assert next_look(quiet, a_crossing(announced=False), now=now, as_of=now) == now + timedelta(minutes=1)
    assert next_look(a_rule(enabled=False), None, now=now, as_of=now) is None
