"""The compiled reader of the request log (services/metering/native): the same calls in a fraction of the time.

It holds no rule: what `domain.batch.read_batch` makes of a record is what counts, and a test compares the two. Where
the library was not built there is no fast reader, and Python reads.
"""

from __future__ import annotations

import ctypes
import sys
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from ctypes import POINTER, Structure, c_char_p, c_int64, c_size_t, c_uint32, c_void_p
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from struct import iter_unpack, unpack_from

from metering.domain.attribution import Attribution, attribute_stored
from metering.domain.batch import EPOCH, Added, Batch, Packed, Record, read_batch
from metering.domain.call import Version
from metering.domain.delta import subscription_day_of
from metering.domain.errors import InvalidEntry
from metering.domain.latency import UPPER_MS
from metering.domain.lateness import CLOCK_SKEW, LATEST_ARRIVAL, milliseconds
from metering.domain.pack import pack_id, pack_parties
from metering.domain.rollup import SubscriptionDay, SubscriptionDayKey

_SUFFIX = {"darwin": "dylib", "win32": "dll"}.get(sys.platform, "so")
LIBRARY = Path(__file__).with_name(f"metering_reader.{_SUFFIX}")
_ABI = 4  # as in native/src/lib.rs: a library of another one is not used
_PORTION_BYTES = 262_144
_MOST_PARTIES = 100_000  # some hundred bytes each; then it begins anew, for who called long ago may be gone
_EPOCH_DAY = date(1970, 1, 1)
ReadBatch = Callable[..., Batch]
_BACK_MS, _AHEAD_MS = (span // timedelta(milliseconds=1) for span in (LATEST_ARRIVAL, CLOCK_SKEW))


class _View(Structure):
    _fields_ = (("data", c_void_p), ("length", c_size_t))

    def copy(self) -> bytes:
        return ctypes.string_at(self.data, self.length) if self.length else b""

    def portions(self) -> Iterator[bytes]:
        for start in range(0, self.length, _PORTION_BYTES):
            yield ctypes.string_at(self.data + start, min(_PORTION_BYTES, self.length - start))


class _TemplateView(Structure):
    _fields_ = (("method", _View), ("path", _View), ("endpoint", c_uint32))


class _ReadingView(Structure):
    _fields_ = (
        *((name, _View) for name in ("unknown", "odd", "rows", "deltas", "days")),
        *((name, c_int64) for name in ("calls", "earliest_ms", "latest_ms")),
        ("reading", c_void_p),
    )


_SIGNATURES = {
    "reader_abi": (c_uint32, ()),
    "reader_new": (c_void_p, (POINTER(c_int64), c_size_t)),
    "reader_free": (None, (c_void_p,)),
    "reader_add_party": (c_uint32, (c_void_p, _View, c_int64, c_int64, _View)),
    "reader_know": (None, (c_void_p, _View, c_int64)),
    "reader_add_endpoint": (c_uint32, (c_void_p, _View, c_int64)),
    "reader_put_version": (None, (c_void_p, c_size_t, _View, POINTER(_TemplateView), c_size_t)),
    "reader_read": (_ReadingView, (*[c_void_p] * 4, c_size_t, *[c_int64] * 3)),
    "reading_free": (None, (c_void_p,)),
}


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """The library, if it was built and is of this version. Its functions let other threads run meanwhile."""
    try:
        found = ctypes.CDLL(str(LIBRARY))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(found, name)
            function.restype, function.argtypes = result, arguments
        return found if found.reader_abi() == _ABI else None
    except (OSError, AttributeError):
        return None


def _view(value: bytes) -> _View:
    # The caller keeps `value` for as long as the view is used.
    return _View(ctypes.cast(ctypes.c_char_p(value), c_void_p).value, len(value))


class _Reading:
    """What the library read; its memory is freed with this, and so are the views of it."""

    def __init__(self, found: ctypes.CDLL, view: _ReadingView) -> None:
        self._library, self.view = found, view

    def rows(self) -> Iterator[bytes]:
        """The calls' rows, in portions."""
        yield from self.view.rows.portions()  # not the view's own iterator: that would not keep this alive

    def __del__(self) -> None:
        self._library.reading_free(self.view.reading)


class _Known:
    """What one reader of the library was told: parties, endpoints and versions, by their numbers there."""

    def __init__(self, found: ctypes.CDLL) -> None:
        self._library = found
        self.reader = found.reader_new((c_int64 * len(UPPER_MS))(*UPPER_MS), len(UPPER_MS))
        self.parties: list[Attribution] = []
        self._numbers: dict[Attribution, int] = {}
        self._versions: dict[str, tuple[int, Version | None]] = {}

    def __del__(self) -> None:
        self._library.reader_free(self.reader)

    def take_versions(self, versions: Mapping[str, Version]) -> None:
        """Those that parties name are as `versions` has them."""
        for version_id, (number, known) in self._versions.items():
            if (now := versions.get(version_id)) is not known and now is not None:
                self._put_version(number, now)
                self._versions[version_id] = number, now

    def learn(self, unknown: bytes, versions: Mapping[str, Version]) -> None:
        """The parties named by `unknown` (each after its length) are known, also those that nobody can read."""
        at = 0
        while at < len(unknown):
            (length,) = unpack_from("<I", unknown, at)
            name = unknown[at + 4 : at + 4 + length]
            at += 4 + length
            try:
                number = self._number_of(attribute_stored(name), versions)
            except InvalidEntry:
                number = -1
            self._library.reader_know(self.reader, _view(name), number)

    def _number_of(self, who: Attribution, versions: Mapping[str, Version]) -> int:
        if who not in self._numbers:
            packed, counted = pack_parties(who), _counted(who)
            self._numbers[who] = self._library.reader_add_party(
                self.reader, _view(packed), self._version(who.version_id, versions),
                -1 if who.units_cap is None else who.units_cap, _view(counted),
            )  # fmt: skip
            self.parties.append(who)
        return self._numbers[who]

    def _version(self, version_id: str | None, versions: Mapping[str, Version]) -> int:
        if version_id is None:
            return -1
        if version_id not in self._versions:
            version, number = versions.get(version_id), len(self._versions)
            self._put_version(number, version)
            self._versions[version_id] = number, version
        return self._versions[version_id][0]

    def _put_version(self, number: int, version: Version | None) -> None:
        name = version.name.encode() if version else b""
        endpoints = version.matcher.endpoints if version else ()
        templates = (_TemplateView * len(endpoints))()
        kept = []  # what the views point to
        for template, endpoint in zip(templates, endpoints, strict=True):
            packed = pack_id(endpoint.endpoint_id)
            method, path = endpoint.method.upper().encode(), endpoint.path.encode()
            kept += [method, path]
            template.method, template.path = _view(method), _view(path)
            template.endpoint = self._library.reader_add_endpoint(self.reader, _view(packed), endpoint.weight)
        self._library.reader_put_version(self.reader, number, _view(name), templates, len(templates))


def batch_reader(fast: bool | None) -> ReadBatch:  # noqa: FBT001
    """What reads the records: the compiled reader, or Python. Raises RuntimeError when only the former will do."""
    found = library() if fast is not False else None
    if found is None:
        if fast:
            raise RuntimeError(f"{LIBRARY.name} was not built: see services/metering/native")
        return read_batch
    return FastReader(found).read_batch


class FastReader:
    """Reads batches one after the other; not for several threads at once, but any one will do."""

    def __init__(self, found: ctypes.CDLL) -> None:
        self._library = found
        self._known = _Known(found)

    def read_batch(
        self, records: Sequence[Record], versions: Mapping[str, Version], *, nets_from: datetime = EPOCH
    ) -> Batch:
        """What `domain.batch.read_batch` returns for them, with the calls packed wherever the library can read them."""
        if len(self._known.parties) > _MOST_PARTIES:
            self._known = _Known(self._library)
        reading, odd = self._read(records, versions, milliseconds(nets_from))
        batch = read_batch([records[place] for place in sorted(odd)], versions, nets_from=nets_from)
        if reading.view.calls:
            batch.packed = Packed(
                calls=reading.view.calls,
                between_ms=(reading.view.earliest_ms, reading.view.latest_ms),
                rows=reading.rows,
                added=_added(reading, self._known.parties),
                again=lambda: (
                    read_batch(
                        [record for place, record in enumerate(records) if place not in odd],
                        versions,
                        nets_from=nets_from,
                    ).calls
                ),
            )
        return batch

    def _read(
        self, records: Sequence[Record], versions: Mapping[str, Version], nets_from_ms: int
    ) -> tuple[_Reading, set[int]]:
        known = self._known
        known.take_versions(versions)
        values = (c_char_p * len(records))(*[record.value for record in records])
        lengths = array("q", [len(record.value) for record in records])
        taken_ms = array("q", [record.taken_ms for record in records])
        while True:
            found = self._library.reader_read(
                known.reader, values, lengths.buffer_info()[0], taken_ms.buffer_info()[0], len(records),
                _BACK_MS, _AHEAD_MS, nets_from_ms,
            )  # fmt: skip
            reading = _Reading(self._library, found)
            if not found.unknown.length:
                return reading, {place for (place,) in iter_unpack("q", found.odd.copy())}
            known.learn(found.unknown.copy(), versions)


def _counted(who: Attribution) -> bytes:
    """By status: is it charged. Nothing where nobody pays."""
    if who.subscription_id is None or who.is_test:
        return b""
    return _counted_statuses(who.counted)


@lru_cache(maxsize=1_024)
def _counted_statuses(counted: frozenset[int]) -> bytes:
    return bytes(status in counted for status in range(max(counted, default=-1) + 1))


def _added(reading: _Reading, parties: Sequence[Attribution]) -> Added:
    days: dict[SubscriptionDayKey, SubscriptionDay] = {}
    for number, day, units in iter_unpack("3q", reading.view.days.copy()):
        found = subscription_day_of(days, parties[number], _EPOCH_DAY + timedelta(days=day))
        if found is not None:
            found.units += units
    return Added(reading.view.calls, list(reading.view.deltas.portions()), days)
