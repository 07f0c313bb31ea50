"""Whose call it was, read from the tags in the entry alone: no look-up, so nothing can be unknown at that moment."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from metering.domain.entry import ConsumerPart, Entry, GatewayObject, tag_list
from metering.domain.errors import InvalidEntry

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# `plan:` names a plan version: the terms in force when the call was made.
_KEPT_TAGS = ("ns:", "org:", "plan:", "api:", "version:", "provider:", "subscription:", "mode:")


@dataclass(frozen=True, slots=True)
class Attribution:
    """Ids as lower-case text, the form in which they go to PostgreSQL."""

    api_id: str
    provider_org: str
    version_id: str | None
    subscription_id: str | None
    plan_version_id: str | None
    consumer_org: str | None
    key_id: str | None
    is_test: bool

    @property
    def routing_key(self) -> str:
        """What the request log is partitioned by: one subscription's calls stay in one partition."""
        return self.subscription_id or self.api_id


def is_ours(entry: Entry, namespace_tag: str) -> bool:
    """True when the entry comes from an entity that this marketplace made in Kong."""
    return (
        namespace_tag in tag_list(entry.service)
        or namespace_tag in tag_list(entry.consumer)
        or namespace_tag in tag_list(entry.route)
    )


def kept_tags(part: GatewayObject | ConsumerPart | None) -> list[str]:
    """The tags that attribution reads."""
    return [tag for tag in tag_list(part) if tag.startswith(_KEPT_TAGS)]


def attribute(entry: Entry) -> Attribution:
    """The parties of a call. Raises InvalidEntry when the tags do not say who pays whom.

    The route's tags win over the service's (a route names its version), the consumer's own ids stand beside them.
    """
    target = {**_by_name(tag_list(entry.service)), **_by_name(tag_list(entry.route))}
    api_id, provider_org = _id(target.get("api"), "api tag"), _id(target.get("provider"), "provider tag")
    version_id = _id(target["version"], "version tag") if "version" in target else None
    if entry.consumer is None:
        return Attribution(api_id, provider_org, version_id, None, None, None, None, is_test=False)
    consumer = _by_name(tag_list(entry.consumer))
    credential = entry.authenticated_entity.id if entry.authenticated_entity else None
    return Attribution(
        api_id=api_id,
        provider_org=provider_org,
        version_id=version_id,
        # A restricted key has a consumer of its own, whose tag names the subscription that pays.
        subscription_id=_id(consumer.get("subscription") or entry.consumer.custom_id, "subscription id"),
        plan_version_id=_id(consumer.get("plan"), "plan tag"),
        consumer_org=_id(consumer.get("org"), "org tag"),
        key_id=_id(credential, "key id") if credential else None,
        is_test=consumer.get("mode") == "test",
    )


def _by_name(tags: Iterable[str]) -> dict[str, str]:
    return {name: value for name, colon, value in (tag.partition(":") for tag in tags) if colon}


def _id(value: str | None, what: str) -> str:
    folded = (value or "").lower()
    if not _UUID.fullmatch(folded):
        raise InvalidEntry(f"no usable {what}")
    return folded
