"""May a subscription call now, and until when does that answer hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from kong_sync.domain.entities import Concern, Owner
from kong_sync.domain.limits import Limits, effective_limits
from kong_sync.domain.records import Key, Phase, Quota, Subscription, Tables

# How long a canceled subscription and a dead key can still say why they are refused.
REMEMBERED = timedelta(days=30)

_STOPPING = {"paused": "paused", "past_due": "past_due", "canceled": "canceled"}
_KNOWN_TO_THE_GATEWAY = frozenset({"active", *_STOPPING})


@dataclass(frozen=True, slots=True)
class Stop:
    """Why calls are refused; `until` when that ends by itself."""

    reason: str
    until: datetime | None = None


def stop_of(subscription: Subscription, quotas: Iterable[Quota], *, now: datetime) -> Stop | None:
    """The reason to refuse this subscription's calls, None when it may call.

    A quota that was reached counts only until its period ends: with metering away nobody stays stopped.
    """
    if subscription.status in _STOPPING:
        return Stop(_STOPPING[subscription.status])
    reached = [q.until for q in quotas if q.state == "reached" and q.until > now]
    return Stop("quota", max(reached)) if reached else None


def is_known(subscription: Subscription, *, now: datetime) -> bool:
    """The gateway should know this subscription: approved once, and not canceled too long ago."""
    if subscription.status not in _KNOWN_TO_THE_GATEWAY:
        return False
    canceled_at = subscription.canceled_at
    return subscription.status != "canceled" or canceled_at is None or canceled_at + REMEMBERED > now


def is_remembered(key: Key, *, now: datetime) -> bool:
    """The gateway should know this key: it works, or it died recently enough to be told so."""
    return not key.is_dead or key.changed_at + REMEMBERED > now


def phase_in_force(subscription: Subscription, *, now: datetime) -> Phase | None:
    """The latest phase that has begun. Before the first begins (another machine's clock is ahead) the first."""
    begun = [phase for phase in subscription.phases if phase.since <= now]
    if begun:
        return begun[-1]
    return subscription.phases[0] if subscription.phases else None


def limits_of(subscription: Subscription, *, now: datetime) -> Limits:
    """The rate limits in force: the plan as sold, with this subscription's override over it."""
    phase = phase_in_force(subscription, now=now)
    return effective_limits(phase.limits if phase else Limits(), subscription.limits_override)


def next_deadlines(tables: Tables, *, now: datetime) -> dict[Owner, datetime]:
    """For each owner the earliest instant after `now` at which its wish changes without an event, if there is one."""
    found: dict[Owner, datetime] = {}
    for owner, at in _deadlines(tables):
        if at > now:
            found[owner] = min(at, found.get(owner, at))
    return found


def _deadlines(tables: Tables) -> Iterator[tuple[Owner, datetime]]:
    for version in tables.versions.values():
        if version.sunset_at is not None:
            yield Owner(Concern.API, version.api_id), version.sunset_at
    for quota in tables.quotas.values():
        if quota.state == "reached":
            yield _of(quota.subscription_id), quota.until
    for subscription in tables.subscriptions.values():
        yield from ((_of(subscription.id), phase.since) for phase in subscription.phases)
        if subscription.canceled_at is not None:
            yield _of(subscription.id), subscription.canceled_at + REMEMBERED
    for key in tables.keys.values():
        if key.is_dead:
            yield _of(key.subscription_id), key.changed_at + REMEMBERED


def _of(subscription_id: str) -> Owner:
    return Owner(Concern.SUBSCRIPTION, subscription_id)
