"""What is counted of calls, and by what it is told apart in each rollup."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from typing import NamedTuple

from metering.domain.latency import Counts, of_the_fastest, percentiles

_REFUSALS = {401: "rejected_unauthorized", 403: "rejected_forbidden", 429: "rejected_rate_limited"}


def class_of(status: int, source: str) -> str:
    """Which of the totals counts an answer of 400 or above."""
    if status >= 500:
        return "errors_5xx"
    return "errors_4xx" if source == "upstream" else _REFUSALS.get(status, "errors_4xx")


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

    @property
    def rejected(self) -> int:
        """Calls that the gateway refused."""
        return self.rejected_rate_limited + self.rejected_forbidden + self.rejected_unauthorized

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


@dataclass(slots=True)
class Usage:
    """What is answered about a set of calls: their totals, and how long they took."""

    totals: Totals = field(default_factory=Totals)
    latencies: Counts = ()  # of all calls, those included that the gateway refused

    @property
    def reached(self) -> int:
        """Calls that the gateway did not refuse (401, 403, 429): the latencies that are answered are theirs."""
        return self.totals.calls - self.totals.rejected

    def latency_percentiles(self, *percents: int) -> list[int | None]:
        """Of the calls that were not refused, in ms, within 5 %; None where there are none."""
        return percentiles(self.latencies, *percents, refused=self.totals.rejected)

    @property
    def latency_total_ms(self) -> int:
        """What the calls took together that were not refused."""
        return max(self.totals.latency_ms - of_the_fastest(self.latencies, self.totals.rejected), 0)


class SubscriptionDayKey(NamedTuple):
    """What billing rates: a subscription under one plan version on one UTC day."""

    subscription_id: str
    plan_version_id: str
    day: date


@dataclass(slots=True)
class SubscriptionDay:
    """What a subscription's day is raised by: live keys only."""

    consumer_org: str
    provider_org: str
    api_id: str
    units: int = 0


class SubscriptionKey(NamedTuple):
    """What an hour of a subscription is about: read for time series, where endpoints and keys do not matter."""

    api_id: str
    subscription_id: str | None
    is_test: bool


class ApiKey(NamedTuple):
    """What an hour of a whole API is about: read by its provider."""

    api_id: str
    is_test: bool


class EndpointKey(NamedTuple):
    """What a day of an endpoint is about, whoever called it: read by its provider."""

    api_id: str
    version_id: str | None
    endpoint_id: str | None
    is_test: bool


class CountryKey(NamedTuple):
    """What a day of a country is about."""

    api_id: str
    subscription_id: str | None
    country: str
    is_test: bool


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


def by_counter(days: Mapping[SubscriptionDayKey, SubscriptionDay]) -> dict[Counter, QuotaUse]:
    """Units per quota counter, also where they are none: a call may be the first that its subscription made."""
    uses: dict[Counter, QuotaUse] = {}
    for key, day in days.items():
        counter = Counter(day.consumer_org, day.api_id, key.day.replace(day=1))
        uses.setdefault(counter, QuotaUse(day.provider_org)).units += day.units
    return uses
