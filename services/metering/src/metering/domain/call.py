"""A stripped entry → the call as it is stored: one row of the request log."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from metering.domain.attribution import attribute
from metering.domain.entry import Entry
from metering.domain.errors import InvalidEntry
from metering.domain.matcher import Endpoint, Matcher, relative_path
from metering.domain.parse_log import MAX_COUNT, MAX_LATENCY_MS, last_status

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_envelope = msgspec.json.Decoder(list[Entry])


class Call(msgspec.Struct, frozen=True, gc=False):
    """One row of `api_requests_log`: fields in the order of its columns. Ids are text, times aware UTC."""

    started_at: datetime
    request_id: str
    subscription_id: str | None
    plan_version_id: str | None
    key_id: str | None
    is_test: bool
    consumer_org: str | None
    provider_org: str
    api_id: str
    version_id: str | None
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


def read_envelope(value: bytes) -> list[Entry]:
    """The entries of a Kafka record. Raises InvalidEntry when it is not one of ours."""
    try:
        return _envelope.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEntry(f"not an envelope: {error}"[:200]) from error


def to_call(entry: Entry, versions: Mapping[str, Version]) -> Call:
    """The call that `entry` records. Raises InvalidEntry when it cannot be attributed."""
    _check(entry)
    who = attribute(entry)
    method, path = entry.request.method, entry.request.path or ""
    version = versions.get(who.version_id) if who.version_id else None
    endpoint = version.matcher.match(method, relative_path(path, version.name)) if version else None
    upstream_status = last_status(entry.upstream_status)
    billable = (
        who.subscription_id is not None
        and not who.is_test
        and entry.source == "upstream"
        and upstream_status in who.counted
    )
    latencies = entry.latencies
    return Call(
        started_at=_EPOCH + timedelta(milliseconds=int(entry.started_at)),
        request_id=entry.request.id,
        subscription_id=who.subscription_id,
        plan_version_id=who.plan_version_id,
        key_id=who.key_id,
        is_test=who.is_test,
        consumer_org=who.consumer_org,
        provider_org=who.provider_org,
        api_id=who.api_id,
        version_id=who.version_id,
        endpoint_id=endpoint.endpoint_id if endpoint else None,
        method=method,
        path=path,
        status=entry.response.status,
        upstream_status=upstream_status or None,
        source=entry.source,
        billable=billable,
        units=_units(entry, endpoint, who.units_cap) if billable else 0,
        latency_ms=max(int(latencies.request), 0),
        upstream_latency_ms=int(latencies.proxy) if latencies.proxy >= 0 else None,
        gateway_latency_ms=max(int(latencies.kong), 0),
        bytes_in=int(entry.request.size),
        bytes_out=int(entry.response.size),
        country=entry.country,
        client_net=entry.client_net,
    )


def _check(entry: Entry) -> None:
    # Ingest has checked all this. But whatever stands in the topic, a value that PostgreSQL refuses must not be what
    # stops a partition.
    request, response, latencies = entry.request, entry.response, entry.latencies
    if not (
        0 <= response.status <= 999
        and 0 <= request.size <= MAX_COUNT
        and 0 <= response.size <= MAX_COUNT
        and 0 <= (entry.usage_units or 0) <= MAX_COUNT
    ):
        raise InvalidEntry("a number is out of range")
    if not (
        -1 <= latencies.request < MAX_LATENCY_MS
        and -1 <= latencies.proxy < MAX_LATENCY_MS
        and -1 <= latencies.kong < MAX_LATENCY_MS
    ):
        raise InvalidEntry("a latency is out of range")
    words = f"{request.id}{request.method}{request.path}{entry.source}{entry.country}{entry.client_net}"
    if "\x00" in words:
        raise InvalidEntry("a text holds a NUL")


def _units(entry: Entry, endpoint: Endpoint | None, cap: int | None) -> int:
    # What the response reported, up to the plan's cap, comes before the endpoint's weight; unmatched paths count one.
    if entry.usage_units is not None:
        return int(entry.usage_units) if cap is None else min(int(entry.usage_units), cap)
    return endpoint.weight if endpoint else 1
