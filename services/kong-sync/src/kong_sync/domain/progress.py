"""How far the gateway is with an API or a subscription."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from kong_sync.domain.desired import by_owner
from kong_sync.domain.entities import Concern, Entity, Owner, fingerprint, tag_value
from kong_sync.domain.records import Api, Tables
from kong_sync.domain.served import path_of


class State(StrEnum):
    """pending → applied → live, or failed; not_provisioned when the gateway should not know it."""

    PENDING = "pending"
    APPLIED = "applied"
    LIVE = "live"
    FAILED = "failed"
    NOT_PROVISIONED = "not_provisioned"


@dataclass(frozen=True, slots=True)
class Progress:
    """What we say of one owner. `fingerprint` is that of the wish it speaks of."""

    state: State
    reason: str | None
    fingerprint: str
    proxy_url: str | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of the gateway for one owner. `waiting_for` says what is missing before anything can be."""

    fingerprint: str
    wanted: bool
    organisation_id: str
    waiting_for: str | None = None
    proxy_url: str | None = None


def wishes(tables: Tables, entities: Iterable[Entity], *, public_proxy_url: str) -> dict[Owner, Wish]:
    """The wish for every API and every subscription that our tables know."""
    grouped = by_owner(entities)
    found: dict[Owner, Wish] = {}
    for api in tables.apis.values():
        owner = Owner(Concern.API, api.id)
        mine = grouped.get(owner, [])
        found[owner] = Wish(
            fingerprint=fingerprint(mine),
            wanted=api.served,
            organisation_id=api.provider_id,
            waiting_for="No version of this API can be served yet." if api.served and not mine else None,
            proxy_url=_proxy_url(tables, api, mine, public_proxy_url=public_proxy_url),
        )
    for subscription in tables.subscriptions.values():
        owner = Owner(Concern.SUBSCRIPTION, subscription.id)
        mine = grouped.get(owner, [])
        found[owner] = Wish(fingerprint(mine), bool(mine), subscription.organisation_id)
    return found


def _proxy_url(tables: Tables, api: Api, entities: Iterable[Entity], *, public_proxy_url: str) -> str | None:
    """Where the latest version answers; None while no version does."""
    for entity in entities:
        if tag_value(entity.tags, "part") == f"route-latest.{api.id}":
            latest = tables.versions[tag_value(entity.tags, "version") or ""]
            return f"{public_proxy_url.rstrip('/')}{path_of(api, latest)}"
    return None


def before_apply(wish: Wish, told: Progress | None) -> Progress:
    """Before anything is written: pending when the wish is new, else what we said last."""
    if told is None:
        state = State.PENDING if wish.wanted else State.NOT_PROVISIONED
        return Progress(state, wish.waiting_for, wish.fingerprint, wish.proxy_url)
    switched_on_again = wish.wanted and told.state is State.NOT_PROVISIONED
    if told.fingerprint == wish.fingerprint and not switched_on_again:
        return told
    return Progress(State.PENDING, wish.waiting_for, wish.fingerprint, wish.proxy_url)


def after_apply(
    wish: Wish, told: Progress | None, *, failure: str | None, complete: bool, seen: bool
) -> Progress:
    """After the batch: failed with the reason, live when the canary was seen, else applied.

    `complete` means that nothing of this owner's was left out; what was live with the same wish stays live.
    """
    if failure is not None:
        return Progress(State.FAILED, failure, wish.fingerprint, wish.proxy_url)
    if not wish.wanted:
        return Progress(State.NOT_PROVISIONED, None, wish.fingerprint)
    if wish.waiting_for is not None:
        return Progress(State.PENDING, wish.waiting_for, wish.fingerprint)
    was_live = told is not None and told.state is State.LIVE and told.fingerprint == wish.fingerprint
    if complete and (seen or was_live):
        return Progress(State.LIVE, None, wish.fingerprint, wish.proxy_url)
    if not complete:
        return Progress(
            State.PENDING, "Waiting for the gateway to load the limits.", wish.fingerprint, wish.proxy_url
        )
    reason = "Written to the gateway, which has not loaded it yet."
    return Progress(State.APPLIED, reason, wish.fingerprint, wish.proxy_url)


def unreachable(wish: Wish, told: Progress | None) -> Progress:
    """The Admin API does not answer: what was live stays so, what is new waits and says why."""
    before = before_apply(wish, told)
    if wish.waiting_for is not None or before.state not in {State.PENDING, State.APPLIED}:
        return before
    return Progress(
        State.PENDING, "The gateway's Admin API does not answer.", wish.fingerprint, wish.proxy_url
    )


def switched_off(wish: Wish) -> Progress:
    """The gateway is switched off in this marketplace; a later reconcile catches up."""
    return Progress(
        State.NOT_PROVISIONED, "The gateway is switched off in this marketplace.", wish.fingerprint
    )
