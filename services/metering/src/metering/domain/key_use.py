"""When a key was last used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from metering.domain.attribution import Attribution
from metering.domain.delta import Delta, DeltaKey

_EPOCH, _MINUTE_MS = datetime(1970, 1, 1, tzinfo=UTC), 60_000


class KeyUse(NamedTuple):
    """A key's last use, to the minute in which it was."""

    key_id: str
    subscription_id: str
    consumer_org: str
    minute: str  # ISO 8601


def last_uses(deltas: Mapping[DeltaKey, Delta]) -> list[KeyUse]:
    """The last use of each key among the calls of `deltas`, sorted by key; refused calls are uses too."""
    return latest_uses((who, delta.last_ms) for (_, who, *_), delta in deltas.items())


def latest_uses(uses: Iterable[tuple[Attribution, int]]) -> list[KeyUse]:
    """The last of the uses (when, in ms since 1970) of each key, sorted by key."""
    latest: dict[str, tuple[int, str, str]] = {}
    for who, last_ms in uses:
        if who.key_id is None or who.subscription_id is None or who.consumer_org is None:
            continue
        known = latest.get(who.key_id)
        if known is None or last_ms > known[0]:
            latest[who.key_id] = last_ms, who.subscription_id, who.consumer_org
    return [
        KeyUse(key, subscription_id, consumer_org, _minute(last_ms // _MINUTE_MS))
        for key, (last_ms, subscription_id, consumer_org) in sorted(latest.items())
    ]


def latest_of(one: Iterable[KeyUse], other: Iterable[KeyUse]) -> list[KeyUse]:
    """The later use of each key, sorted by key."""
    latest: dict[str, KeyUse] = {}
    for use in (*one, *other):
        known = latest.get(use.key_id)
        if known is None or use.minute > known.minute:
            latest[use.key_id] = use
    return [latest[key] for key in sorted(latest)]


@lru_cache(maxsize=4_096)
def _minute(minutes: int) -> str:
    return (_EPOCH + timedelta(minutes=minutes)).isoformat()
