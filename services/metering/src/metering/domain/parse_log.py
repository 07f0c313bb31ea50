"""A body of log entries → stripped entries for Kafka, and named rejections. Nothing else of the body survives."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from zlib import crc32

import msgspec

from metering.domain.attribution import attribute, is_ours, kept_tags
from metering.domain.client import CountryOf, network_of, nowhere
from metering.domain.entry import MAX_COUNT, MAX_LATENCY_MS, Entry, GatewayObject, Number
from metering.domain.errors import InvalidEntry

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_METHOD = re.compile(r"[A-Za-z]{1,16}")
_MAX_PATH = 2_048
_YEAR_2200_MS = 7_258_118_400_000
# A deeply nested body ends the decoder with RecursionError.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_entries = msgspec.json.Decoder(list[Entry])
_any = msgspec.json.Decoder(msgspec.Raw)
_entry = msgspec.json.Decoder(Entry)


@dataclass(frozen=True, slots=True)
class Rejected:
    """An entry that cannot be metered: why, and what may be kept of it."""

    reason: str
    redacted: str


@dataclass(slots=True)
class Parsed:
    """What became of a body: stripped entries with their routing keys, rejections, and how many were not ours."""

    entries: list[tuple[str, Entry]] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    foreign: int = 0


def parse(body: bytes, *, namespace: str, country_of: CountryOf = nowhere) -> Parsed:
    """Every entry of `body` (an object or an array of objects) is stripped, rejected with a reason, or not ours.

    Never raises: a body that is no JSON at all is one rejection. Refusing it would only make Kong's queue send the
    same bytes until its retry time is over, with everything behind them waiting.
    """
    parsed, tag = Parsed(), f"ns:{namespace}"
    for candidate in _decode(body):
        entry = candidate if isinstance(candidate, Entry) else _decode_one(candidate, parsed)
        if entry is None:
            continue
        if not is_ours(entry, tag):
            parsed.foreign += 1
            continue
        try:
            routing_key = attribute(entry).routing_key
            parsed.entries.append((routing_key, strip(entry, country_of)))
        except InvalidEntry as error:
            parsed.rejected.append(Rejected(error.reason, _redact(msgspec.json.encode(entry))))
    return parsed


def strip(entry: Entry, country_of: CountryOf) -> Entry:
    """`entry` itself, with checked values and nothing that the consumer does not read. Raises InvalidEntry.

    Of the client's address its network and its country are left: the whole of it goes no further than this.

    Changed in place: building its parts anew would double the cost of this path.
    """
    request, response, latencies, consumer = entry.request, entry.response, entry.latencies, entry.consumer
    if not _REQUEST_ID.fullmatch(request.id):
        raise InvalidEntry("no usable request id")
    if not _METHOD.fullmatch(request.method):
        raise InvalidEntry("no usable method")
    if not 0 <= response.status <= 999:
        raise InvalidEntry("status out of range")
    path = request.path if request.path is not None else request.uri or ""
    request.path, request.uri = _text(path.partition("?")[0])[:_MAX_PATH], None
    request.method = request.method.upper()
    request.size = _whole(request.size, "request size")
    response.size = _whole(response.size, "response size")
    entry.started_at = _whole(entry.started_at, "started_at", limit=_YEAR_2200_MS)
    entry.source = "upstream" if entry.source == "upstream" else "gateway"
    entry.upstream_status = last_status(entry.upstream_status)
    if entry.usage_units is not None:
        entry.usage_units = _whole(entry.usage_units, "usage_units")
    address, entry.client_ip = entry.client_ip, None
    entry.client_net = network_of(address) if address else None
    entry.country = country_of(address) if entry.client_net and address else None
    latencies.request, latencies.proxy = _latency(latencies.request), _latency(latencies.proxy)
    latencies.kong = _latency(latencies.kong)
    if consumer is not None:
        consumer.tags = kept_tags(consumer)
    entry.service, entry.route = _kept(entry.service), _kept(entry.route)
    # The two bear the same tags as a rule; then one copy says it all.
    if entry.service is not None and entry.route is not None and entry.route.tags == entry.service.tags:
        entry.route = None
    return entry


def last_status(value: str | int | None) -> int:
    """The status that counted: Kong lists one for each try ("502, 200"); 0 when no upstream answered."""
    if isinstance(value, int):
        return value if 100 <= value <= 999 else 0
    last = (value or "").replace(":", ",").rpartition(",")[2].strip()
    return int(last) if len(last) == 3 and last.isascii() and last.isdigit() and last >= "100" else 0


def partition_of(routing_key: str, partitions: int) -> int:
    """The Kafka partition of a subscription's (or, unauthenticated, an API's) calls."""
    return crc32(routing_key.encode()) % partitions


def envelope(entries: list[Entry]) -> bytes:
    """The Kafka record that carries `entries`: a JSON array."""
    return msgspec.json.encode(entries)


def is_json(line: bytes) -> bool:
    """True when `line` may stand in an array with others without spoiling it."""
    try:
        _any.decode(line)
    except _UNREADABLE:
        return False
    return True


def _decode(body: bytes) -> Sequence[Entry | bytes]:
    """All entries at once; where that fails, each by itself: one bad entry must not take the others with it."""
    try:
        return _entries.decode(body)
    except _UNREADABLE:
        pass
    try:
        value = json.loads(body.decode("utf-8", "replace"), parse_int=_bounded)
    except (ValueError, RecursionError):
        return [body]
    items = value if isinstance(value, list) else [value]
    # Kong writes a path as it came, also when that is no UTF-8.
    return [json.dumps(item, ensure_ascii=False).encode("utf-8", "replace") for item in items]


def _bounded(digits: str) -> Number:
    return int(digits) if len(digits) < 20 else float(digits)


def _decode_one(raw: bytes, parsed: Parsed) -> Entry | None:
    try:
        return _entry.decode(raw)
    except msgspec.ValidationError as error:
        parsed.rejected.append(Rejected(f"not a log entry: {error}"[:200], _redact(raw)))
    except _UNREADABLE:
        parsed.rejected.append(Rejected("not JSON", _redact(raw)))
    return None


def _redact(raw: bytes) -> str:
    """What may be kept of an entry that was refused: size, digest, and the harmless scalars that identify the call."""
    kept: dict[str, object] = {"bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    try:
        value = msgspec.json.decode(raw)
    except _UNREADABLE:
        return json.dumps(kept)
    if isinstance(value, dict):
        request, response = value.get("request"), value.get("response")
        candidates = {
            "request_id": request.get("id") if isinstance(request, dict) else None,
            "status": response.get("status") if isinstance(response, dict) else None,
            "started_at": value.get("started_at"),
        }
        kept |= {k: v for k, v in candidates.items() if isinstance(v, int) or _is_request_id(v)}
    return json.dumps(kept)


def _is_request_id(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{32}", value) is not None


def _kept(part: GatewayObject | None) -> GatewayObject | None:
    return GatewayObject(tags=kept_tags(part)) if part else None


def _whole(value: Number, what: str, *, limit: int = MAX_COUNT) -> int:
    if not -1 <= value <= limit:  # also false for NaN
        raise InvalidEntry(f"{what} out of range")
    return max(int(value), 0)


def _latency(value: Number) -> int:
    return int(value) if 0 <= value < MAX_LATENCY_MS else -1


def _text(value: str) -> str:
    # PostgreSQL's text refuses NUL, and a lone surrogate has no UTF-8.
    return value.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
