"""Alert rules: what is measured, when it crosses its threshold, and when that is over."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from metering.domain.errors import AlertRuleInvalid
from metering.domain.lateness import month_of, next_month, start_of
from metering.domain.rollup import Usage
from metering.domain.windows import floor_day, floor_hour

# Within its period a crossing is over only below nine tenths of the threshold: a value that dances around the
# threshold is one alert. In a later period, below the threshold itself.
_HYSTERESIS = Decimal("0.9")
# After the end of a period its last calls are still on their way.
_SETTLE = timedelta(seconds=10)
_BEHIND = timedelta(seconds=30)
_HOUR = timedelta(hours=1)
_THOUSANDTH = Decimal("0.001")


class AlertKind(StrEnum):
    """What a rule measures."""

    QUOTA_SHARE = "quota_share"
    ERROR_RATE = "error_rate"
    LATENCY_MEAN = "latency_mean"
    LATENCY_P95 = "latency_p95"
    LATENCY_P99 = "latency_p99"
    NO_TRAFFIC = "no_traffic"
    SPEND = "spend"


class AlertPeriod(StrEnum):
    """What a rule's value is measured over, in UTC."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


class AlertState(StrEnum):
    """What an alert says."""

    FIRING = "firing"
    RESOLVED = "resolved"
    TEST = "test"


class Verdict(StrEnum):
    """What a reading means for a rule."""

    NOTHING = "nothing"
    FIRE = "fire"
    RESOLVE = "resolve"


@dataclass(frozen=True, slots=True)
class AlertRule:
    """A threshold that an organisation watches: on a subscription of its own, or on an API of its own."""

    id: UUID
    organisation_id: UUID
    version: int
    name: str
    kind: AlertKind
    subscription_id: UUID | None
    api_id: UUID | None
    threshold: Decimal
    period: AlertPeriod
    min_calls: int
    enabled: bool
    silenced_until: datetime | None
    tested_at: datetime | None
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None

    @property
    def watches(self) -> bool:
        """False when the rule is switched off or gone."""
        return self.enabled and self.deleted_at is None

    def is_silent(self, now: datetime) -> bool:
        """True while nobody wants to be told."""
        return self.silenced_until is not None and now < self.silenced_until


@dataclass(frozen=True, slots=True)
class Crossing:
    """A threshold that was crossed: open until it is resolved. `announced` once it went out unsilenced."""

    id: UUID
    rule_id: UUID
    organisation_id: UUID
    period_start: datetime
    threshold: Decimal
    value: Decimal
    unit: str
    fired_at: datetime
    resolved_at: datetime | None
    resolved_value: Decimal | None
    announced: bool
    silenced: bool
    version: int


@dataclass(frozen=True, slots=True)
class Reading:
    """A value in one period; None where there is none. `complete`: no more of it is to come, or none is wanted."""

    period_start: datetime
    value: Decimal | None
    unit: str
    complete: bool


_SUBSCRIPTION_ONLY = frozenset({AlertKind.QUOTA_SHARE, AlertKind.SPEND})
_PERIODS = {
    AlertKind.QUOTA_SHARE: (AlertPeriod.MONTH,),
    AlertKind.SPEND: (AlertPeriod.MONTH,),
    AlertKind.NO_TRAFFIC: (AlertPeriod.HOUR,),
}
_HOUR_OR_DAY = (AlertPeriod.HOUR, AlertPeriod.DAY)
_MOST = {
    AlertKind.QUOTA_SHARE: (Decimal(1000), "percent of the quota"),
    AlertKind.ERROR_RATE: (Decimal(100), "percent of the calls"),
    AlertKind.LATENCY_MEAN: (Decimal(3_600_000), "milliseconds"),
    AlertKind.LATENCY_P95: (Decimal(3_600_000), "milliseconds"),
    AlertKind.LATENCY_P99: (Decimal(3_600_000), "milliseconds"),
    AlertKind.NO_TRAFFIC: (Decimal(31 * 24), "whole hours"),
    AlertKind.SPEND: (Decimal(10**12), "minor units of the subscription's currency"),
}
_UNITS = {
    AlertKind.QUOTA_SHARE: "percent",
    AlertKind.ERROR_RATE: "percent",
    AlertKind.LATENCY_MEAN: "ms",
    AlertKind.LATENCY_P95: "ms",
    AlertKind.LATENCY_P99: "ms",
    AlertKind.NO_TRAFFIC: "hours",
    AlertKind.SPEND: "minor units",
}
_SAID = (
    "name", "kind", "subscription_id", "api_id", "threshold", "period", "min_calls", "enabled", "silenced_until",
    "deleted_at",
)  # fmt: skip
_PERCENT = {AlertKind.LATENCY_P95: 95, AlertKind.LATENCY_P99: 99}
_WHOLE = frozenset({AlertKind.NO_TRAFFIC, AlertKind.SPEND})


def default_period(kind: AlertKind) -> AlertPeriod:
    """What a rule of `kind` measures over when nothing is said."""
    return _PERIODS.get(kind, _HOUR_OR_DAY)[0]


def check(rule: AlertRule) -> None:
    """Passes for a rule that can be watched; AlertRuleInvalid names the field and the cure."""
    if (rule.subscription_id is None) == (rule.api_id is None):
        raise AlertRuleInvalid(
            "Give either `subscription_id` or `api_id`: what the rule watches.", field="subscription_id"
        )
    if rule.kind in _SUBSCRIPTION_ONLY and rule.subscription_id is None:
        raise AlertRuleInvalid(
            f"A rule of kind {rule.kind} watches a subscription: give `subscription_id`.", field="api_id"
        )
    allowed = _PERIODS.get(rule.kind, _HOUR_OR_DAY)
    if rule.period not in allowed:
        raise AlertRuleInvalid(
            f"A rule of kind {rule.kind} is measured over: {', '.join(allowed)}.", field="period"
        )
    most, unit = _MOST[rule.kind]
    whole = rule.kind not in _WHOLE or rule.threshold == rule.threshold.to_integral_value()
    if not (0 < rule.threshold <= most and whole):
        raise AlertRuleInvalid(f"`threshold` is in {unit}, above 0 and at most {most}.", field="threshold")


def described(rule: AlertRule, *, only: Collection[str] = _SAID) -> dict[str, Any]:
    """What the audit trail says of the rule: the fields `only`, as JSON can hold them."""
    return {
        name: None if (value := getattr(rule, name)) is None else str(value) for name in _SAID if name in only
    }


def unit_of(kind: AlertKind) -> str:
    """What the values of such a rule are counted in; of money in the subscription's currency, see its readings."""
    return _UNITS[kind]


def judge(rule: AlertRule, reading: Reading, last: Crossing | None) -> Verdict:
    """What `reading` means, after `last`, the rule's latest crossing.

    A crossing fires once, however long it lasts, and a period fires at most once for each threshold.
    """
    crossed = reading.value is not None and reading.value >= rule.threshold
    if last is None or last.resolved_at is not None:
        fresh = last is None or last.threshold != rule.threshold or reading.period_start > last.period_start
        return Verdict.FIRE if rule.watches and crossed and fresh else Verdict.NOTHING
    return Verdict.RESOLVE if _is_over(rule, reading, last, crossed=crossed) else Verdict.NOTHING


def _is_over(rule: AlertRule, reading: Reading, last: Crossing, *, crossed: bool) -> bool:
    if not rule.watches or last.threshold != rule.threshold:
        return True
    if crossed or reading.period_start < last.period_start:
        return False
    if reading.value is None:
        return reading.complete
    return reading.period_start > last.period_start or reading.value < rule.threshold * _HYSTERESIS


def periods_to_read(rule: AlertRule, now: datetime) -> list[datetime]:
    """The starts of the periods that a look at `now` reads, oldest first.

    Calls arrive after the hour or day they began in has ended, so the one before counts too, unless the rule was made
    after it.
    """
    current = period_start(rule.period, now)
    if rule.period is AlertPeriod.MONTH:
        return [current]
    before = period_start(rule.period, current - timedelta(microseconds=1))
    return [before, current] if rule.created_at < current else [current]


def period_start(period: AlertPeriod, instant: datetime) -> datetime:
    """The start of the period of `instant`."""
    if period is AlertPeriod.MONTH:
        return start_of(month_of(instant))
    return floor_day(instant) if period is AlertPeriod.DAY else floor_hour(instant)


def period_end(period: AlertPeriod, start: datetime) -> datetime:
    """The end of the period that begins at `start`."""
    if period is AlertPeriod.MONTH:
        return start_of(next_month(start.date()))
    return start + (timedelta(days=1) if period is AlertPeriod.DAY else _HOUR)


def next_look(
    rule: AlertRule, crossing: Crossing | None, *, now: datetime, as_of: datetime | None
) -> datetime | None:
    """When the passing of time alone may change the verdict: None where only new data can."""
    is_open = crossing is not None and crossing.resolved_at is None
    looks = []
    if rule.watches and (is_open or rule.kind is AlertKind.NO_TRAFFIC):
        current = period_start(rule.period, now)
        behind = as_of is None or as_of < current
        looks.append(now + _BEHIND if behind else period_end(rule.period, current) + _SETTLE)
    if crossing is not None and is_open and not crossing.announced and rule.silenced_until is not None:
        looks.append(rule.silenced_until)
    return min(looks, default=None)


def quota_share(used: int, quota: int | None, *, start: datetime) -> Reading:
    """Percent of the quota that is used; no value without a quota."""
    return Reading(start, _ratio(100 * used, quota) if quota else None, "percent", complete=True)


def spent(amount: int, currency: str, *, start: datetime) -> Reading:
    """What the month's usage costs so far, in minor units."""
    return Reading(start, Decimal(amount), currency, complete=True)


def measured(rule: AlertRule, usage: Usage, *, start: datetime, as_of: datetime | None) -> Reading:
    """The error rate or latency of a period; no value before `min_calls` calls, for latencies of those not refused."""
    complete = as_of is not None and as_of >= period_end(rule.period, start)
    unit, totals, value = unit_of(rule.kind), usage.totals, None
    if rule.kind is AlertKind.ERROR_RATE:
        if totals.calls >= rule.min_calls:
            value = _ratio(100 * totals.errors_5xx, totals.calls)
    elif usage.reached >= rule.min_calls:
        if rule.kind in _PERCENT:
            [latency] = usage.latency_percentiles(_PERCENT[rule.kind])
            value = Decimal(latency or 0)
        else:
            value = _ratio(usage.latency_total_ms, usage.reached)
    return Reading(start, value, unit, complete)


def silence(rule: AlertRule, last_hour: datetime | None, *, now: datetime, as_of: datetime | None) -> Reading:
    """Whole hours without a call, as far as everything is known to be counted, and since the rule was made."""
    if as_of is None:
        return Reading(floor_hour(now), None, "hours", complete=False)
    known = floor_hour(min(now, as_of))
    since = floor_hour(rule.created_at if last_hour is None else max(rule.created_at, last_hour)) + _HOUR
    return Reading(known - _HOUR, Decimal(max((known - since) // _HOUR, 0)), "hours", complete=True)


def _ratio(part: int, whole: int) -> Decimal:
    # Rounded down: a value that is shown as the threshold has reached it.
    return (Decimal(part) / whole).quantize(_THOUSANDTH, rounding=ROUND_FLOOR)
