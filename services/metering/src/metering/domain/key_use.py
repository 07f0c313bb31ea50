"""When a key was last used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from metering.domain.call import Call


class KeyUse(NamedTuple):
    """A key's last use, to the minute in which it was."""

    key_id: str
    subscription_id: str
    consumer_org: str
    minute: str  # ISO 8601


def last_uses(calls: Iterable[Call]) -> list[KeyUse]:
    """The last use of each key among `calls`, sorted by key; refused calls are uses too."""
    latest: dict[str, Call] = {}
    for call in calls:
        key = call.key_id
        if key is None:
            continue
        known = latest.get(key)
        if known is None or call.started_at > known.started_at:
            latest[key] = call
    return [
        KeyUse(
            key, call.subscription_id, call.consumer_org,
            call.started_at.replace(second=0, microsecond=0).isoformat(),
        )
        for key, call in sorted(latest.items())
        if call.subscription_id is not None and call.consumer_org is not None
    ]  # fmt: skip
