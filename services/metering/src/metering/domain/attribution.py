"""Whose call it was, read from the tags in the entry alone: no look-up, so nothing can be unknown at that moment."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from metering.domain.entry import ConsumerPart, Entry, GatewayObject, Parties, tag_list
from metering.domain.errors import InvalidEntry

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# What the upstream answered is charged when the plan says nothing else.
BELOW_500 = frozenset(range(100, 500))
_STATUS = re.compile(r"[1-4](xx|[0-9]{2})")
# `plan:` names a plan version: the terms in force when the call was made.
_KEPT_TAGS = (
    "ns:",
    "org:",
    "plan:",
    "api:",
    "version:",
    "provider:",
    "subscription:",
    "mode:",
    "cap:",
    "counts:",
)


class Attribution(msgspec.Struct, frozen=True, gc=False, eq=False):
    """Ids as lower-case text. Told apart by identity, which costs nothing: the same parties are mostly one object."""

    api_id: str
    provider_org: str
    version_id: str | None
    subscription_id: str | None
    plan_version_id: str | None
    consumer_org: str | None
    key_id: str | None
    is_test: bool
    counted: frozenset[int] = BELOW_500
    units_cap: int | None = None

    @property
    def routing_key(self) -> str:
        """What the request log is partitioned by: one subscription's calls stay in one partition."""
        return self.subscription_id or self.api_id


# The fields that are columns of a row.
PARTY_COLUMNS = Attribution.__struct_fields__[:8]


def is_ours(entry: Entry, namespace_tag: str) -> bool:
    """True when the entry comes from an entity that this marketplace made in Kong."""
    return (
        namespace_tag in tag_list(entry.service)
        or namespace_tag in tag_list(entry.consumer)
        or namespace_tag in tag_list(entry.route)
    )


def kept_tags(part: GatewayObject | ConsumerPart | None) -> list[str]:
    """The tags that attribution reads."""
    return _kept(tuple(tag_list(part)))


@lru_cache(maxsize=32_768)
def _kept(tags: tuple[str, ...]) -> list[str]:
    return [tag for tag in tags if tag.startswith(_KEPT_TAGS)]


_parties = msgspec.json.Decoder(Parties)


@lru_cache(maxsize=32_768)
def attribute_stored(parties: bytes) -> Attribution:
    """The parties of a call, by `StoredEntry.parties`. Raises InvalidEntry as `attribute` does."""
    try:
        return attribute(_parties.decode(parties))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEntry(f"no usable parties: {error}"[:200]) from error


@lru_cache(maxsize=32_768)
def parties(row: tuple[Any, ...]) -> Attribution:
    """The parties that stand in a row, in the order of PARTY_COLUMNS; the same ones are one object."""
    return Attribution(*row)


def attribute(entry: Entry | Parties) -> Attribution:
    """The parties of a call. Raises InvalidEntry when the tags do not say who pays whom.

    The route's tags win over the service's (a route names its version), the consumer's own ids stand beside them.
    """
    target = _target(tuple(tag_list(entry.service)), tuple(tag_list(entry.route)))
    consumer, credential = entry.consumer, entry.authenticated_entity
    if consumer is None:
        return Attribution(*target, None, None, None, None, is_test=False)
    payer = _payer(consumer.custom_id, tuple(tag_list(consumer)))
    return _attribution(target, payer, credential.id if credential else None)


class _Target(NamedTuple):
    api_id: str
    provider_org: str
    version_id: str | None


class _Payer(NamedTuple):
    subscription_id: str
    plan_version_id: str
    consumer_org: str
    is_test: bool
    counted: frozenset[int]
    units_cap: int | None


# The same few thousand consumers and services come again and again: their tags are read once.
@lru_cache(maxsize=4_096)
def _target(service: tuple[str, ...], route: tuple[str, ...]) -> _Target:
    tags = {**_by_name(service), **_by_name(route)}
    version_id = _id(tags["version"], "version tag") if "version" in tags else None
    return _Target(_id(tags.get("api"), "api tag"), _id(tags.get("provider"), "provider tag"), version_id)


@lru_cache(maxsize=32_768)
def _payer(custom_id: str | None, tags: tuple[str, ...]) -> _Payer:
    named = _by_name(tags)
    # A restricted key has a consumer of its own, whose tag names the subscription that pays.
    subscription_id = _id(named.get("subscription") or custom_id, "subscription id")
    return _Payer(
        subscription_id,
        _id(named.get("plan"), "plan tag"),
        _id(named.get("org"), "org tag"),
        named.get("mode") == "test",
        _statuses(named["counts"]) if "counts" in named else BELOW_500,
        _cap(named["cap"]) if "cap" in named else None,
    )


@lru_cache(maxsize=32_768)
def _attribution(target: _Target, payer: _Payer, credential: str | None) -> Attribution:
    return Attribution(
        api_id=target.api_id,
        provider_org=target.provider_org,
        version_id=target.version_id,
        subscription_id=payer.subscription_id,
        plan_version_id=payer.plan_version_id,
        consumer_org=payer.consumer_org,
        key_id=_id(credential, "key id") if credential else None,
        is_test=payer.is_test,
        counted=payer.counted,
        units_cap=payer.units_cap,
    )


def _by_name(tags: Iterable[str]) -> dict[str, str]:
    return {name: value for name, colon, value in (tag.partition(":") for tag in tags) if colon}


def _id(value: str | None, what: str) -> str:
    folded = (value or "").lower()
    if not _UUID.fullmatch(folded):
        raise InvalidEntry(f"no usable {what}")
    return folded


def _statuses(tag: str) -> frozenset[int]:
    """The statuses of "2xx.404". Never one from 500 on: a failing upstream is not paid for."""
    items = tag.split(".")
    if not all(map(_STATUS.fullmatch, items)):
        raise InvalidEntry("no usable counts tag")
    classes = {int(item[0]) * 100 for item in items if item.endswith("xx")}
    return frozenset(int(item) for item in items if not item.endswith("xx")).union(
        *(range(first, first + 100) for first in classes)
    )


def _cap(tag: str) -> int:
    if not (tag.isascii() and tag.isdigit() and len(tag) <= 18):
        raise InvalidEntry("no usable cap tag")
    return int(tag)
