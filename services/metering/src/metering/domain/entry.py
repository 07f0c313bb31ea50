"""A Kong log entry, reduced to what metering reads: the same shape in the ingest body, in Kafka and in the file log.

Decoding with these types is the redaction: a field that is not named here (headers, query string, URL, the upstream's
address) does not survive. The client's address is read, and replaced by its network before anything is kept. msgspec
rather than dataclasses: this is the hot path, and a typed decode costs an eighth of what a validating model does.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

# gc=False: parts of a decoded entry cannot form a cycle, and a batch holds hundreds of thousands of them, which the
# garbage collector would visit again and again.

# Lua's JSON encoder writes an empty table as {}, also where an array is meant.
Tags = list[str] | dict[str, Any] | None
Number = int | float
MAX_LATENCY_MS = 86_400_000
# Far above any real size or unit count, and small enough that the sums of an hour stay within a bigint.
MAX_COUNT = 10**12


class RequestPart(msgspec.Struct, omit_defaults=True, gc=False):
    """`id` is Kong's own request id. `uri` may carry a query string: read for old configurations, never passed on."""

    id: str
    method: str = ""
    path: str | None = None
    uri: str | None = None
    size: Number = 0


class ResponsePart(msgspec.Struct, omit_defaults=True, gc=False):
    """What the client was answered."""

    status: int
    size: Number = 0


class LatencyPart(msgspec.Struct, omit_defaults=True, gc=False):
    """Milliseconds; `proxy` is -1 when no upstream was called."""

    request: Number = 0
    proxy: Number = -1
    kong: Number = 0


class GatewayObject(msgspec.Struct, omit_defaults=True, gc=False):
    """A Kong service or route: its id and its tags."""

    id: str | None = None
    tags: Tags = None


class ConsumerPart(msgspec.Struct, omit_defaults=True, gc=False):
    """A Kong consumer: one per subscription, or per restricted key."""

    custom_id: str | None = None
    tags: Tags = None


class AuthenticatedPart(msgspec.Struct, omit_defaults=True, gc=False):
    """The credential that was used; its id is the platform's key id."""

    id: str | None = None


class Entry(msgspec.Struct, omit_defaults=True, gc=False):
    """One call as Kong logged it."""

    started_at: Number
    request: RequestPart
    response: ResponsePart
    source: str = ""
    upstream_status: str | int | None = ""
    latencies: LatencyPart = msgspec.field(default_factory=LatencyPart)
    service: GatewayObject | None = None
    route: GatewayObject | None = None
    consumer: ConsumerPart | None = None
    authenticated_entity: AuthenticatedPart | None = None
    usage_units: Number | None = None
    client_ip: str | None = None
    client_net: str | None = None
    country: str | None = None


# As ingest writes them: whole numbers within bounds, which the decoder checks. Whatever else stands in the topic, a
# value that PostgreSQL refuses must not be what stops a partition.
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
Latency = Annotated[int, msgspec.Meta(ge=-1, lt=MAX_LATENCY_MS)]


class StoredRequest(msgspec.Struct, omit_defaults=True, gc=False):
    """What was asked for; the path has no query string."""

    id: str
    method: str = ""
    path: str = ""
    size: Count = 0


class StoredResponse(msgspec.Struct, omit_defaults=True, gc=False):
    """What the client was answered."""

    status: Annotated[int, msgspec.Meta(ge=0, le=999)]
    size: Count = 0


class StoredLatencies(msgspec.Struct, omit_defaults=True, gc=False):
    """Milliseconds; -1 where there is none."""

    request: Latency = 0
    proxy: Latency = -1
    kong: Latency = 0


_NOTHING = msgspec.Raw(b"null")


class StoredEntry(msgspec.Struct, omit_defaults=True, gc=False):
    """One call as it stands in the request log. Whose it was is left as it is written: few parties make many calls."""

    started_at: int
    request: StoredRequest
    response: StoredResponse
    source: str = ""
    upstream_status: str | int | None = ""
    latencies: StoredLatencies = msgspec.field(default_factory=StoredLatencies)
    service: msgspec.Raw = _NOTHING
    route: msgspec.Raw = _NOTHING
    consumer: msgspec.Raw = _NOTHING
    authenticated_entity: msgspec.Raw = _NOTHING
    usage_units: Count | None = None
    client_net: str | None = None
    country: str | None = None

    @property
    def parties(self) -> bytes:
        """The four parts that say whose it was as one JSON object, by which attribution knows them again."""
        return b'{"service":%b,"route":%b,"consumer":%b,"authenticated_entity":%b}' % (
            self.service, self.route, self.consumer, self.authenticated_entity,
        )  # fmt: skip


class Parties(msgspec.Struct, gc=False):
    """The parts of an entry that say whose call it was."""

    service: GatewayObject | None = None
    route: GatewayObject | None = None
    consumer: ConsumerPart | None = None
    authenticated_entity: AuthenticatedPart | None = None


def tag_list(part: GatewayObject | ConsumerPart | None) -> list[str]:
    """The tags of `part`; none when it is absent or Lua wrote its empty list as an object."""
    return part.tags if part is not None and isinstance(part.tags, list) else []
