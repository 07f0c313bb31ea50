"""The entities of one subscription: a consumer, its limits, its access, its keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from kong_sync.domain.edge import Edge
from kong_sync.domain.entities import Concern, Entity, Kind, Owner
from kong_sync.domain.limits import kong_windows
from kong_sync.domain.records import Key, Quota, Subscription
from kong_sync.domain.served import group_of
from kong_sync.domain.standing import Stop, is_known, is_remembered, limits_of, phase_in_force, stop_of

DEAD_KEY_STATES = ("revoked", "expired")


def admit_subscription(
    edge: Edge, subscription: Subscription, keys: Iterable[Key], quotas: Iterable[Quota], *, now: datetime
) -> Iterator[Entity]:
    """All entities of `subscription`. A stop takes the acl group and tags the consumer with the reason.

    A test-mode key has a consumer of its own, so that its calls are told apart in every log entry.
    """
    owner = Owner(Concern.SUBSCRIPTION, subscription.id)
    remembered = [key for key in keys if is_remembered(key, now=now)]
    if is_known(subscription, now=now):
        stop = stop_of(subscription, quotas, now=now)
        part = f"consumer.{subscription.id}"
        names = {"username": f"sub_{subscription.id}", "custom_id": subscription.id}
        yield from _consumer(edge, subscription, owner, part, names, mode="live", stop=stop, now=now)
        for key in remembered:
            if key.status in DEAD_KEY_STATES:
                continue
            holder = part
            if key.mode == "test":
                holder = f"consumer-key.{key.id}"
                names = {"username": f"key_{key.id}"}
                yield from _consumer(
                    edge, subscription, owner, holder, names, mode="test", stop=stop, now=now
                )
            yield _credential(edge, key, owner, consumer_id=edge.id_of(holder))
    for key in remembered:
        if key.status in DEAD_KEY_STATES:
            yield _credential(edge, key, owner, consumer_id=edge.id_of(f"consumer-status.{key.status}"))


def graveyards(edge: Edge, states: Iterable[str]) -> Iterator[Entity]:
    """For each state of dead keys the consumer that holds them: it is in no group, and its tag says why."""
    owner = Owner(Concern.PLATFORM, "dead-keys")
    for state in sorted(set(states)):
        fields = {"username": f"{edge.namespace}_{state}_keys"}
        yield edge.entity(Kind.CONSUMER, f"consumer-status.{state}", owner, fields, tags=(f"status:{state}",))


def _consumer(
    edge: Edge, subscription: Subscription, owner: Owner, part: str, names: dict[str, str], *,
    mode: str, stop: Stop | None, now: datetime,
) -> Iterator[Entity]:  # fmt: skip
    phase = phase_in_force(subscription, now=now)
    tags = (
        f"subscription:{subscription.id}",
        f"org:{subscription.organisation_id}",
        f"plan:{phase.plan_version_id if phase else subscription.plan_version_id}",
        f"api:{subscription.api_id}",
        f"provider:{subscription.provider_id}",
        f"mode:{mode}",
        *_stop_tags(stop),
    )
    consumer = edge.entity(Kind.CONSUMER, part, owner, names, tags=tags)
    yield consumer
    windows = kong_windows(limits_of(subscription, now=now))
    if windows:
        yield edge.plugin("rate-limiting", part, owner, _rate_limiting(edge, windows), consumer=consumer.id)
    if stop is None:
        fields = {"group": group_of(subscription.api_id), "consumer": {"id": consumer.id}}
        yield edge.entity(Kind.ACL, f"{part}.acl", owner, fields)


def _stop_tags(stop: Stop | None) -> tuple[str, ...]:
    if stop is None:
        return ()
    until = (f"until:{int(stop.until.timestamp())}",) if stop.until else ()
    return (f"stop:{stop.reason}", *until)


def _rate_limiting(edge: Edge, windows: dict[str, int]) -> dict[str, Any]:
    config: dict[str, Any] = {
        # every window is named: Kong keeps nothing of a limit that the plan no longer has
        **dict.fromkeys(("second", "minute", "hour", "day", "month", "year")),
        **windows,
        "limit_by": "consumer",
        "fault_tolerant": True,
        "hide_client_headers": False,
        "policy": "local",
    }
    if edge.redis:
        config["policy"] = "redis"
        config["redis"] = {
            "host": edge.redis.host,
            "port": edge.redis.port,
            "database": edge.redis.database,
        }
    return config


def _credential(edge: Edge, key: Key, owner: Owner, *, consumer_id: str) -> Entity:
    expiry = (f"exp:{int(key.expires_at.timestamp())}",) if key.expires_at else ()
    fields = {
        "key": key.sha256,
        "consumer": {"id": consumer_id},
        "tags": edge.tags(f"key.{key.id}", *expiry),
    }
    return Entity(Kind.CREDENTIAL, key.id, owner, fields)
