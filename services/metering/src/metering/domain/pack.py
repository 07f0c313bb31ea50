"""Rows as PostgreSQL's binary COPY takes them. The driver's own encoder looks at each of 25 values by itself; here what
many rows share (the parties, the kind of answer) is encoded once, and the numbers of a row in one go.

A field is its length in four bytes and its bytes; a length of -1 is NULL. Every number is big-endian.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from struct import Struct, pack

from metering.domain.attribution import Attribution
from metering.domain.call import Call
from metering.domain.delta import HOUR_MS, Delta, DeltaKey
from metering.domain.latency import Histogram
from metering.domain.rollup import class_of

_NULL = b"\xff\xff\xff\xff"
_ROWS, _PARTS = 1_000, 7_000  # of calls, and of deltas' pieces, in one portion
_YEAR_2000_US = 946_684_800_000_000
_PARTIES = (
    "subscription_id", "plan_version_id", "key_id", "is_test", "consumer_org", "provider_org", "api_id", "version_id",
)  # fmt: skip

CALL_COLUMNS = (
    "started_at", "request_id", *_PARTIES, "endpoint_id", "method", "status", "upstream_status", "source", "billable",
    "country", "client_net", "units", "latency_ms", "gateway_latency_ms", "bytes_in", "bytes_out",
    "upstream_latency_ms", "path",
)  # fmt: skip
_CALL_BEGINS = Struct("!hiqi")  # how many columns, started_at, the length of request_id
_CALL_ENDS = Struct("!iqiiiiiqiqiii")  # units to upstream_latency_ms, the length of path
_CALL_ENDS_NULL = Struct("!iqiiiiiqiqii")

_CLASSES = (
    "errors_4xx",
    "errors_5xx",
    "rejected_rate_limited",
    "rejected_forbidden",
    "rejected_unauthorized",
)
DELTA_COLUMNS = (
    "hour_start", *_PARTIES, "endpoint_id", "country", "status", "source", "last_at", "example", "units",
    "bytes_in", "bytes_out", "latency_ms", "calls", "billable_calls", *_CLASSES, "latency_histogram",
)  # fmt: skip
_DELTA_BEGINS = Struct("!hiq")
_SUMS, _COUNTS, _FIVE = Struct("!iqiqiqiq"), Struct("!iiii"), Struct("!iiiiiiiiii")
_NO_ERRORS = _FIVE.pack(4, 0, 4, 0, 4, 0, 4, 0, 4, 0)

_DIGITS_A_BUCKET = (
    3  # of base 10,000, as PostgreSQL writes a numeric: a bucket of a histogram is a digit of base 10^12
)
_BASE = 10_000


def pack_calls(calls: Sequence[Call]) -> Iterator[bytes]:
    """The calls as rows of CALL_COLUMNS, some hundred kilobytes at a time."""
    for start in range(0, len(calls), _ROWS):
        yield b"".join(_call_parts(calls[start : start + _ROWS]))


def _call_parts(calls: Sequence[Call]) -> list[bytes]:
    parts, count = list[bytes](), len(CALL_COLUMNS)
    for call in calls:
        request_id, path, upstream_latency_ms = (
            call.request_id.encode(),
            call.path.encode(),
            call.upstream_latency_ms,
        )
        numbers = (
            8, call.units, 4, call.latency_ms, 4, call.gateway_latency_ms, 8, call.bytes_in, 8, call.bytes_out,
        )  # fmt: skip
        parts += (
            _CALL_BEGINS.pack(count, 8, call.started_ms * 1_000 - _YEAR_2000_US, len(request_id)),
            request_id,
            pack_parties(call.who),
            pack_id(call.endpoint_id),
            _answer(call.method, call.status, call.upstream_status, call.source, call.billable),
            _origin(call.country, call.client_net),
            _CALL_ENDS_NULL.pack(*numbers, -1, len(path))
            if upstream_latency_ms is None
            else _CALL_ENDS.pack(*numbers, 4, upstream_latency_ms, len(path)),
            path,
        )
    return parts


def pack_deltas(deltas: Mapping[DeltaKey, Delta]) -> Iterator[bytes]:
    """The deltas as rows of DELTA_COLUMNS, some hundred kilobytes at a time."""
    parts, count = list[bytes](), len(DELTA_COLUMNS)
    for key, delta in deltas.items():
        parts += (
            _DELTA_BEGINS.pack(count, 8, key.hour * HOUR_MS * 1_000 - _YEAR_2000_US),
            pack_parties(key.who),
            pack_id(key.endpoint_id),
            _text(key.country),
            _error(key, delta),
            _SUMS.pack(8, delta.units, 8, delta.bytes_in, 8, delta.bytes_out, 8, delta.latency_ms),
            _COUNTS.pack(4, delta.calls, 4, delta.billable_calls),
            _NO_ERRORS if key.status is None else _errors(key.status, key.source or "", delta.calls),
            pack_histogram(delta.latencies),
        )
        if len(parts) > _PARTS:
            yield b"".join(parts)
            parts = []
    yield b"".join(parts)


@lru_cache(maxsize=4_096)
def _errors(status: int, source: str, calls: int) -> bytes:
    name = class_of(status, source)
    sized: list[int] = []
    for each in _CLASSES:
        sized += (4, calls if each == name else 0)
    return _FIVE.pack(*sized)


def _error(key: DeltaKey, delta: Delta) -> bytes:
    """Status, source, last_at, example."""
    last_at = pack("!iq", 8, delta.last_ms * 1_000 - _YEAR_2000_US)
    if key.status is None:
        return _NULL + _NULL + last_at + _NULL
    return pack("!ih", 2, key.status) + _text(key.source) + last_at + _text(delta.example)


def pack_histogram(histogram: Histogram) -> bytes:
    """The number that stands for a histogram (`latency.to_digits`), as a numeric; at least one call, each bucket below
    10^12 of them.
    """
    if len(histogram) == 1:
        [(bucket, calls)] = histogram.items()
        if calls < _BASE:
            return _single(bucket, calls)
    low, high = min(histogram), max(histogram)
    digits = bytearray(2 * _DIGITS_A_BUCKET * (high - low + 1))
    for bucket, calls in histogram.items():
        end = 2 * _DIGITS_A_BUCKET * (high - bucket + 1)
        digits[end - 2 : end] = (calls % _BASE).to_bytes(2)
        if calls >= _BASE:
            rest = calls // _BASE
            digits[end - 4 : end - 2] = (rest % _BASE).to_bytes(2)
            digits[end - 6 : end - 4] = (rest // _BASE).to_bytes(2)
    count = len(digits) // 2
    # Digits, the weight of the first one, a positive sign, no decimals.
    return pack("!ihhhh", 8 + 2 * count, count, _DIGITS_A_BUCKET * (high + 1) - 1, 0, 0) + digits


@lru_cache(maxsize=4_096)
def _single(bucket: int, calls: int) -> bytes:
    return pack("!ihhhhh", 10, 1, _DIGITS_A_BUCKET * bucket, 0, 0, calls)


# Some thousand keys, endpoints and kinds of answers make all the calls.
@lru_cache(maxsize=32_768)
def pack_parties(who: Attribution) -> bytes:
    """The columns of _PARTIES."""
    ids = {name: pack_id(getattr(who, name)) for name in _PARTIES if name != "is_test"}
    return b"".join({**ids, "is_test": _boolean(who.is_test)}[name] for name in _PARTIES)


@lru_cache(maxsize=32_768)
def pack_id(value: str | None) -> bytes:
    """A uuid, or NULL."""
    return _NULL if value is None else b"\0\0\0\x10" + bytes.fromhex(value.replace("-", ""))


@lru_cache(maxsize=8_192)
def _answer(method: str, status: int, upstream_status: int | None, source: str, billable: bool) -> bytes:  # noqa: FBT001
    upstream = _NULL if upstream_status is None else pack("!ih", 2, upstream_status)
    return _text(method) + pack("!ih", 2, status) + upstream + _text(source) + _boolean(billable)


@lru_cache(maxsize=32_768)
def _origin(country: str | None, client_net: str | None) -> bytes:
    return _text(country) + _text(client_net)


def _text(value: str | None) -> bytes:
    if value is None:
        return _NULL
    encoded = value.encode()
    return pack("!i", len(encoded)) + encoded


def _boolean(value: bool) -> bytes:  # noqa: FBT001
    return b"\0\0\0\x01\x01" if value else b"\0\0\0\x01\0"
