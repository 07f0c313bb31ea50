"""Calls folded into what a batch adds to the rollups, at the finest grain that any of them has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import NamedTuple

import msgspec

from metering.domain.attribution import Attribution
from metering.domain.call import Call
from metering.domain.latency import Histogram, bucket_of
from metering.domain.rollup import SubscriptionDay, SubscriptionDayKey

HOUR_MS = 3_600_000
_EPOCH_DAY = date(1970, 1, 1)


class DeltaKey(NamedTuple):
    """What a delta is about. `hour` counts from 1970; status and source only tell errors apart: below 400, None.

    The parties are told apart by identity: the same ones may rarely make two deltas, which add up like any others.
    """

    hour: int
    who: Attribution
    endpoint_id: str | None
    country: str | None
    status: int | None
    source: str | None


# gc=False: it refers to nothing that could refer to it, and a batch makes thousands.
class Delta(msgspec.Struct, gc=False):
    """What is to be added; `example` is the request id of the call that began last, at `last_ms`."""

    calls: int = 0
    billable_calls: int = 0
    units: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    latency_ms: int = 0
    latencies: Histogram = msgspec.field(default_factory=dict)
    last_ms: int = -1
    example: str = ""


Deltas = dict[DeltaKey, Delta]
_Key = tuple[int, Attribution, str | None, str | None, int | None, str | None]


def fold(calls: Iterable[Call]) -> Deltas:
    """What `calls` add to the rollups. Sums only, so neither order nor the way they are cut into batches matters."""
    deltas: dict[_Key, Delta] = {}
    for call in calls:
        started_ms, latency_ms = call.started_ms, call.latency_ms
        # A bare tuple, equal to the DeltaKey that it becomes: making one of these costs more than all the rest here.
        key: _Key
        if call.status < 400:
            key = (started_ms // HOUR_MS, call.who, call.endpoint_id, call.country, None, None)
        else:
            key = (started_ms // HOUR_MS, call.who, call.endpoint_id, call.country, call.status, call.source)
        delta = deltas.get(key)
        if delta is None:
            delta = deltas[key] = Delta()
        delta.calls += 1
        delta.billable_calls += call.billable
        delta.units += call.units
        delta.bytes_in += call.bytes_in
        delta.bytes_out += call.bytes_out
        delta.latency_ms += latency_ms
        latencies, bucket = delta.latencies, bucket_of(latency_ms)
        latencies[bucket] = latencies.get(bucket, 0) + 1
        if started_ms > delta.last_ms:
            delta.last_ms, delta.example = started_ms, call.request_id
    return {DeltaKey._make(key): delta for key, delta in deltas.items()}


def by_subscription_day(deltas: Mapping[DeltaKey, Delta]) -> dict[SubscriptionDayKey, SubscriptionDay]:
    """What quotas and closed months want of `deltas`: calls of live keys, by subscription, plan version and day."""
    result: dict[SubscriptionDayKey, SubscriptionDay] = {}
    for key, delta in deltas.items():
        if day := subscription_day_of(result, key.who, _day_of(key.hour)):
            day.units += delta.units
    return result


def subscription_day_of(
    days: dict[SubscriptionDayKey, SubscriptionDay], who: Attribution, day: date
) -> SubscriptionDay | None:
    """The one of `days` in which calls of `who` count, made when it is not there; None where nobody pays."""
    if who.is_test or who.subscription_id is None or who.plan_version_id is None or who.consumer_org is None:
        return None
    place = SubscriptionDayKey(who.subscription_id, who.plan_version_id, day)
    found = days.get(place)
    if found is None:
        found = days[place] = SubscriptionDay(who.consumer_org, who.provider_org, who.api_id)
    return found


def _day_of(hour: int) -> date:
    return _EPOCH_DAY + timedelta(days=hour // 24)
