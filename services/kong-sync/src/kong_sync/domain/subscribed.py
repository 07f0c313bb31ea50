"""The entities of one subscription: a consumer, its limits, its access, its keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kong_sync.domain.edge import Edge, scope_in_tag
from kong_sync.domain.entities import Concern, Entity, Kind, Owner
from kong_sync.domain.limits import Limits, at_most, divided, kong_windows
from kong_sync.domain.records import Key, Phase, Quota, Subscription
from kong_sync.domain.served import group_of, restricted_group_of, scope_group_of
from kong_sync.domain.standing import Stop, is_known, is_remembered, limits_of, phase_in_force, stop_of

DEAD_KEY_STATES = ("revoked", "expired")
# Calls a year.
_OUT_OF_REACH = 1_000_000_000_000


def admit_subscription(
    edge: Edge, subscription: Subscription, keys: Iterable[Key], quotas: Iterable[Quota], *, now: datetime
) -> Iterator[Entity]:
    """All entities of `subscription`. A stop takes the acl group and tags the consumer with the reason."""
    owner = Owner(Concern.SUBSCRIPTION, subscription.id)
    remembered = [key for key in keys if is_remembered(key, now=now)]
    working = [key for key in remembered if not key.is_dead]
    if is_known(subscription, now=now):
        stop = stop_of(subscription, quotas, now=now)
        for part, holder in _holders(edge, subscription, working, now=now).items():
            yield from _consumer(edge, subscription, owner, part, holder, stop=stop, now=now)
        for key in working:
            yield _credential(edge, key, owner, consumer_id=edge.id_of(_holder_part(subscription, key)))
    for key in remembered:
        if key.is_dead:
            yield _credential(edge, key, owner, consumer_id=edge.id_of(f"consumer-status.{key.status}"))


@dataclass(frozen=True, slots=True)
class _Holder:
    """A Kong consumer of the subscription: its names, and what the keys that it holds may do."""

    names: Mapping[str, str]
    mode: str
    limits: Limits
    scopes: tuple[str, ...] = ()


def _holders(
    edge: Edge, subscription: Subscription, keys: Sequence[Key], *, now: datetime
) -> dict[str, _Holder]:
    """The consumers by part. Kong counts by consumer, so a share of the calls has one of its own, and the
    subscription's own has what is left: together they never have more than was sold. Test keys have one together, with
    a small limit, and their calls are told apart in every log entry; those with scopes have a share of that limit.
    """
    allowed = limits_of(subscription, now=now)
    test = [key for key in keys if key.mode == "test"]
    live = [key for key in keys if key.mode != "test"]
    left, holders = _shares(subscription, live, allowed, prefix="sub")
    names = {"username": f"sub_{subscription.id}", "custom_id": subscription.id}
    holders[f"consumer.{subscription.id}"] = _Holder(names, "live", left)
    if test:
        most = at_most(allowed, Limits(day=edge.test_calls_per_day))
        left, shares = _shares(subscription, test, most, prefix="test")
        holders |= shares
        if not all(key.scopes for key in test):
            names = {"username": f"test_{subscription.id}"}
            holders[f"consumer-test.{subscription.id}"] = _Holder(names, "test", left)
    return holders


def _shares(
    subscription: Subscription, keys: Sequence[Key], allowed: Limits, *, prefix: str
) -> tuple[Limits, dict[str, _Holder]]:
    """What is left of `allowed`, and the consumers of the shares; the keys of a share hold the same scopes."""
    sharing = {key.share: key for key in keys if key.share}
    left, shares = divided(allowed, {share_id: key.limits for share_id, key in sharing.items()})
    mode = "test" if prefix == "test" else "live"
    return left, {
        # metering reads the subscription from this name in the gateway's own counters
        f"consumer-share.{share_id}": _Holder(
            {"username": f"{prefix}_{subscription.id}_share_{share_id}"},
            mode,
            limits,
            sharing[share_id].scopes,
        )
        for share_id, limits in shares.items()
    }


def _holder_part(subscription: Subscription, key: Key) -> str:
    if key.share:
        return f"consumer-share.{key.share}"
    return f"consumer{'-test' if key.mode == 'test' else ''}.{subscription.id}"


def graveyards(edge: Edge) -> Iterator[Entity]:
    """For each state of dead keys the consumer that holds them: it is in no group, and its tag says why."""
    owner = Owner(Concern.PLATFORM, "dead-keys")
    for state in DEAD_KEY_STATES:
        fields = {"username": f"{edge.namespace}_{state}_keys"}
        yield edge.entity(Kind.CONSUMER, f"consumer-status.{state}", owner, fields, tags=(f"status:{state}",))


def _consumer(
    edge: Edge, subscription: Subscription, owner: Owner, part: str, holder: _Holder, *,
    stop: Stop | None, now: datetime,
) -> Iterator[Entity]:  # fmt: skip
    phase = phase_in_force(subscription, now=now)
    tags = (
        f"subscription:{subscription.id}",
        f"org:{subscription.organisation_id}",
        f"plan:{phase.plan_version_id if phase else subscription.plan_version_id}",
        f"api:{subscription.api_id}",
        f"provider:{subscription.provider_id}",
        f"mode:{holder.mode}",
        *(_counting_tags(phase) if phase else ()),
        *(f"scope:{scope_in_tag(scope)}" for scope in holder.scopes),
        *_stop_tags(stop),
    )
    consumer = edge.entity(Kind.CONSUMER, part, owner, holder.names, tags=tags)
    yield consumer
    limiting = _limiting(edge, holder.limits)
    if limiting:
        yield edge.plugin("rate-limiting", part, owner, limiting, consumer=consumer.id)
    if stop is None:
        for name, group in _groups(subscription.api_id, holder.scopes).items():
            fields = {"group": group, "consumer": {"id": consumer.id}}
            yield edge.entity(Kind.ACL, f"{part}.{name}", owner, fields)


def _groups(api_id: str, scopes: Iterable[str]) -> dict[str, str]:
    """The acl groups of a consumer, by what tells them apart: the API's own, or those of its scopes."""
    if not scopes:
        return {"acl": group_of(api_id)}
    of_scopes = {f"acl.{scope_in_tag(scope)}": scope_group_of(api_id, scope) for scope in scopes}
    return {"acl": restricted_group_of(api_id), **of_scopes}


def _counting_tags(phase: Phase) -> Iterator[str]:
    """What of the terms decides how a call counts: metering reads it from the log entry, the header in Lua."""
    if phase.units_header:
        yield f"units:{phase.units_header}"
    if phase.units_cap:
        yield f"cap:{phase.units_cap}"
    if phase.counted_statuses:
        yield f"counts:{'.'.join(phase.counted_statuses)}"  # Kong allows neither comma nor slash in a tag


def _stop_tags(stop: Stop | None) -> tuple[str, ...]:
    if stop is None:
        return ()
    until = (f"until:{int(stop.until.timestamp())}",) if stop.until else ()
    return (f"stop:{stop.reason}", *until)


def _limiting(edge: Edge, limits: Limits) -> dict[str, Any] | None:
    """The settings of a consumer's own rate-limiting plugin; None where it needs none.

    Where its API's services limit whoever has none of their own, one without limits has one that nobody reaches, and
    that is not shown: counted on each node, it costs no call to Redis.
    """
    windows = kong_windows(limits)
    if windows:
        return edge.rate_limiting(windows)
    if not edge.default_calls_per_second:
        return None
    config = edge.rate_limiting({"year": _OUT_OF_REACH})
    config.pop("redis", None)
    return {**config, "policy": "local", "hide_client_headers": True}


def _credential(edge: Edge, key: Key, owner: Owner, *, consumer_id: str) -> Entity:
    expiry = (f"exp:{int(key.expires_at.timestamp())}",) if key.expires_at else ()
    fields = {
        "key": key.sha256,
        "consumer": {"id": consumer_id},
        "tags": edge.tags(f"key.{key.id}", *expiry),
    }
    return Entity(Kind.CREDENTIAL, key.id, owner, fields)
