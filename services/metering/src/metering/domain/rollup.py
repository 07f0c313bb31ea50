"""Calls folded into hours, hours into days, days into what billing reads. Sums only, so order never matters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from typing import NamedTuple

from metering.domain.call import Call
from metering.domain.latency import Histogram, bucket_of, merge

_UNAUTHORIZED, _FORBIDDEN, _RATE_LIMITED = 401, 403, 429


@dataclass(slots=True)
class Totals:
    """What is counted. Every call is in exactly one of: answered below 400, errors_4xx, errors_5xx, rejected_*.

    `rejected_*` are the gateway's own refusals; a 4xx that came from the upstream is `errors_4xx`.
    """

    calls: int = 0
    billable_calls: int = 0
    units: int = 0
    errors_4xx: int = 0
    errors_5xx: int = 0
    rejected_rate_limited: int = 0
    rejected_forbidden: int = 0
    rejected_unauthorized: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    latency_ms: int = 0

    def count(self, call: Call) -> None:
        """`call` is part of the totals."""
        self.calls += 1
        self.billable_calls += call.billable
        self.units += call.units
        self.bytes_in += call.bytes_in
        self.bytes_out += call.bytes_out
        self.latency_ms += call.latency_ms
        status = call.status
        if status < 400:
            return
        if status >= 500:
            self.errors_5xx += 1
        elif call.source == "upstream":
            self.errors_4xx += 1
        elif status == _RATE_LIMITED:
            self.rejected_rate_limited += 1
        elif status == _FORBIDDEN:
            self.rejected_forbidden += 1
        elif status == _UNAUTHORIZED:
            self.rejected_unauthorized += 1
        else:
            self.errors_4xx += 1

    def add(self, other: Totals) -> None:
        """The totals hold those of `other` too."""
        # Written out: once for every row of a batch and table.
        self.calls += other.calls
        self.billable_calls += other.billable_calls
        self.units += other.units
        self.errors_4xx += other.errors_4xx
        self.errors_5xx += other.errors_5xx
        self.rejected_rate_limited += other.rejected_rate_limited
        self.rejected_forbidden += other.rejected_forbidden
        self.rejected_unauthorized += other.rejected_unauthorized
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out
        self.latency_ms += other.latency_ms

    def by_class(self) -> dict[str, int]:
        """The calls by how they were answered; they add up to all calls."""
        failed = {
            "errors_4xx": self.errors_4xx, "errors_5xx": self.errors_5xx,
            "rejected_rate_limited": self.rejected_rate_limited, "rejected_forbidden": self.rejected_forbidden,
            "rejected_unauthorized": self.rejected_unauthorized,
        }  # fmt: skip
        return {"succeeded": self.calls - sum(failed.values()), **failed}


TOTALS = tuple(f.name for f in fields(Totals))


def share(part: int, whole: int) -> float:
    """Which share of `whole` a part is, to four digits; of nothing, none."""
    return round(part / whole, 4) if whole else 0.0


def changes(before: Totals, now: Totals) -> dict[str, float | None]:
    """By what share each total rose; None where there was nothing before."""
    return {
        name: round(getattr(now, name) / was - 1, 4) if (was := getattr(before, name)) else None
        for name in TOTALS
    }


class BucketKey(NamedTuple):
    """What an hourly or daily row is about, beside its time. A tuple, for its hash is taken once per call."""

    api_id: str
    subscription_id: str | None
    plan_version_id: str | None
    key_id: str | None
    endpoint_id: str | None
    version_id: str | None
    is_test: bool

    @property
    def order(self) -> str:
        """The order in which rows are written: every writer locks them in the same one."""
        return "".join([part or "-" for part in self[:6]]) + ("t" if self.is_test else "f")


@dataclass(slots=True)
class Bucket:
    """One row's worth of counting. The organisations follow from subscription and API: they are not part of the key."""

    consumer_org: str | None
    provider_org: str
    totals: Totals = field(default_factory=Totals)
    latencies: Histogram = field(default_factory=dict)

    def count(self, call: Call) -> None:
        """`call` is part of the row."""
        self.totals.count(call)
        latency = bucket_of(call.latency_ms)
        self.latencies[latency] = self.latencies.get(latency, 0) + 1

    def add(self, other: Bucket) -> None:
        """The row holds what `other` counted, too."""
        self.totals.add(other.totals)
        merge(self.latencies, other.latencies)


Hourly = dict[tuple[datetime, BucketKey], Bucket]
Daily = dict[tuple[date, BucketKey], Bucket]


@dataclass(slots=True)
class Usage:
    """What is answered about a set of calls: their totals, and how long they took."""

    totals: Totals = field(default_factory=Totals)
    latencies: Histogram = field(default_factory=dict)


class SubscriptionDayKey(NamedTuple):
    """What billing rates: a subscription under one plan version on one UTC day."""

    subscription_id: str
    plan_version_id: str
    day: date

    @property
    def order(self) -> tuple[str, str, date]:
        """The order in which rows are written."""
        return (self.subscription_id, self.plan_version_id, self.day)


@dataclass(slots=True)
class SubscriptionDay:
    """A subscription's day: live keys only."""

    consumer_org: str
    provider_org: str
    api_id: str
    totals: Totals = field(default_factory=Totals)


def by_hour(calls: Iterable[Call]) -> Hourly:
    """The calls' hours, by the time at which each call began."""
    hours: Hourly = {}
    for call in calls:
        hour = call.started_at.replace(minute=0, second=0, microsecond=0)
        key = (hour, BucketKey(
            call.api_id, call.subscription_id, call.plan_version_id, call.key_id,
            call.endpoint_id, call.version_id, call.is_test,
        ))  # fmt: skip
        bucket = hours.get(key)
        if bucket is None:
            bucket = hours[key] = Bucket(call.consumer_org, call.provider_org)
        bucket.count(call)
    return hours


def by_day(hours: Hourly) -> Daily:
    """The days that `hours` make."""
    days: Daily = {}
    for (hour, key), bucket in hours.items():
        day = hour.astimezone(UTC).date()
        days.setdefault((day, key), Bucket(bucket.consumer_org, bucket.provider_org)).add(bucket)
    return days


class SubscriptionKey(NamedTuple):
    """What an hour of a subscription is about: read for time series, where endpoints and keys do not matter."""

    api_id: str
    subscription_id: str | None
    is_test: bool

    @property
    def order(self) -> tuple[str, ...]:
        """The order in which rows are written."""
        return (self.api_id, self.subscription_id or "", "t" if self.is_test else "f")


def by_subscription_hour(hours: Hourly) -> dict[tuple[datetime, SubscriptionKey], Bucket]:
    """The subscriptions' hours that `hours` make."""
    result: dict[tuple[datetime, SubscriptionKey], Bucket] = {}
    for (hour, key), bucket in hours.items():
        merged = (hour, SubscriptionKey(key.api_id, key.subscription_id, key.is_test))
        result.setdefault(merged, Bucket(bucket.consumer_org, bucket.provider_org)).add(bucket)
    return result


class CountryKey(NamedTuple):
    """What a day of a country is about."""

    api_id: str
    subscription_id: str | None
    country: str
    is_test: bool

    @property
    def order(self) -> tuple[str, ...]:
        """The order in which rows are written."""
        return (self.api_id, self.subscription_id or "", self.country, "t" if self.is_test else "f")


def by_country(calls: Iterable[Call]) -> dict[tuple[date, CountryKey], Bucket]:
    """The days of each country, of calls whose country is known: without a file to look it up in, of none."""
    result: dict[tuple[date, CountryKey], Bucket] = {}
    for call in calls:
        if call.country is not None:
            key = CountryKey(call.api_id, call.subscription_id, call.country, call.is_test)
            day = call.started_at.astimezone(UTC).date()
            result.setdefault((day, key), Bucket(call.consumer_org, call.provider_org)).count(call)
    return result


class ErrorKey(NamedTuple):
    """What a day of an error is about."""

    api_id: str
    subscription_id: str | None
    key_id: str | None
    endpoint_id: str | None
    version_id: str | None
    is_test: bool
    status: int
    source: str

    @property
    def order(self) -> tuple[str, ...]:
        """The order in which rows are written."""
        return tuple("" if value is None else str(value) for value in self)


@dataclass(slots=True)
class ErrorDay:
    """How often an error was answered, and the newest call that met it."""

    consumer_org: str | None
    provider_org: str
    last_at: datetime
    example: str
    calls: int = 0


def by_error(calls: Iterable[Call]) -> dict[tuple[date, ErrorKey], ErrorDay]:
    """The days of each error, of calls that were answered 400 or above."""
    result: dict[tuple[date, ErrorKey], ErrorDay] = {}
    for call in calls:
        if call.status < 400:
            continue
        key = ErrorKey(
            call.api_id, call.subscription_id, call.key_id, call.endpoint_id, call.version_id, call.is_test,
            call.status, call.source,
        )  # fmt: skip
        day = (call.started_at.astimezone(UTC).date(), key)
        error = result.get(day)
        if error is None:
            error = result[day] = ErrorDay(
                call.consumer_org, call.provider_org, call.started_at, call.request_id
            )
        elif call.started_at > error.last_at:
            error.last_at, error.example = call.started_at, call.request_id
        error.calls += 1
    return result


def by_subscription_day(days: Daily) -> dict[SubscriptionDayKey, SubscriptionDay]:
    """What billing reads of `days`: calls of live keys, per subscription and plan version."""
    result: dict[SubscriptionDayKey, SubscriptionDay] = {}
    for (day, key), bucket in days.items():
        if (
            key.subscription_id is None
            or key.plan_version_id is None
            or bucket.consumer_org is None
            or key.is_test
        ):
            continue
        merged = result.setdefault(
            SubscriptionDayKey(key.subscription_id, key.plan_version_id, day),
            SubscriptionDay(bucket.consumer_org, bucket.provider_org, key.api_id),
        )
        merged.totals.add(bucket.totals)
    return result


class Counter(NamedTuple):
    """What a quota is counted by: so that leaving a plan and coming back gains nothing."""

    consumer_org: str
    api_id: str
    month: date


@dataclass(slots=True)
class QuotaUse:
    """Units that a counter is to be raised by."""

    provider_org: str
    units: int = 0


def by_counter(days: dict[SubscriptionDayKey, SubscriptionDay]) -> dict[Counter, QuotaUse]:
    """Units per quota counter, also where they are none: a call may be the first that its subscription made."""
    uses: dict[Counter, QuotaUse] = {}
    for key, day in days.items():
        counter = Counter(day.consumer_org, day.api_id, key.day.replace(day=1))
        uses.setdefault(counter, QuotaUse(day.provider_org)).units += day.totals.units
    return uses
