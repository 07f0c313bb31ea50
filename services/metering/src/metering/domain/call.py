"""A stored entry → the call as it is stored: one row of the request log."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from metering.domain.attribution import Attribution, attribute_stored
from metering.domain.entry import StoredEntry
from metering.domain.errors import InvalidEntry
from metering.domain.matcher import Endpoint, Matcher, relative_path
from metering.domain.parse_log import last_status

_envelope = msgspec.json.Decoder(list[StoredEntry])
_parts = msgspec.json.Decoder(list[msgspec.Raw])
_entry = msgspec.json.Decoder(StoredEntry)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Call(msgspec.Struct, frozen=True, gc=False):
    """One row of `api_requests_log`. Ids are text; `started_ms` are milliseconds since 1970."""

    started_ms: int
    request_id: str
    who: Attribution
    endpoint_id: str | None
    method: str
    path: str
    status: int
    upstream_status: int | None
    source: str
    billable: bool
    units: int
    latency_ms: int
    upstream_latency_ms: int | None
    gateway_latency_ms: int
    bytes_in: int
    bytes_out: int
    country: str | None
    client_net: str | None


class Version(msgspec.Struct, frozen=True):
    """An API version as attribution needs it."""

    name: str
    matcher: Matcher


def read_envelope(value: bytes) -> tuple[list[StoredEntry], list[str]]:
    """The entries of a Kafka record, and why others in it cannot be read. Raises InvalidEntry when it is not ours."""
    try:
        return _envelope.decode(value), []
    except _UNREADABLE:
        pass
    try:
        parts = _parts.decode(value)
    except _UNREADABLE as error:
        raise InvalidEntry(f"not an envelope: {error}"[:200]) from error
    entries, unreadable = [], []
    for part in parts:
        try:
            entries.append(_entry.decode(part))
        except _UNREADABLE as error:
            unreadable.append(f"not an entry: {error}"[:200])
    return entries, unreadable


def to_call(entry: StoredEntry, versions: Mapping[str, Version]) -> Call:
    """The call that `entry` records. Raises InvalidEntry when it cannot be attributed."""
    who = attribute_stored(entry.parties)
    request, latencies = entry.request, entry.latencies
    method, path, upstream_latency = request.method, request.path, latencies.proxy
    version = versions.get(who.version_id) if who.version_id else None
    endpoint = version.matcher.match(method, relative_path(path, version.name)) if version else None
    upstream_status, latency, gateway_latency = (
        last_status(entry.upstream_status),
        latencies.request,
        latencies.kong,
    )
    billable = (
        who.subscription_id is not None
        and not who.is_test
        and entry.source == "upstream"
        and upstream_status in who.counted
    )
    # By position, in the fields' order: names would cost as much again, once for every call.
    return Call(
        entry.started_at,
        request.id,
        who,
        endpoint.endpoint_id if endpoint else None,
        method,
        path,
        entry.response.status,
        upstream_status or None,
        entry.source,
        billable,
        _units(entry.usage_units, endpoint, who.units_cap) if billable else 0,
        latency if latency > 0 else 0,  # not max(): a call of it costs as much as four of these lines
        upstream_latency if upstream_latency >= 0 else None,
        gateway_latency if gateway_latency > 0 else 0,
        request.size,
        entry.response.size,
        entry.country,
        entry.client_net,
    )


def holds_nul(entry: StoredEntry) -> bool:
    """True when a text of the entry holds a NUL, which no text of PostgreSQL may."""
    request = entry.request
    words = (request.id, request.method, request.path, entry.source, entry.country, entry.client_net)
    return any("\x00" in word for word in words if word)


def _units(reported: int | None, endpoint: Endpoint | None, cap: int | None) -> int:
    # What the response reported, up to the plan's cap, comes before the endpoint's weight; unmatched paths count one.
    if reported is not None:
        return reported if cap is None else min(reported, cap)
    return endpoint.weight if endpoint else 1
