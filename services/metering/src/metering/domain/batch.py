"""Kafka records → calls to record, entries to quarantine, and what cannot be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from metering.domain.call import Call, Version, holds_nul, read_envelope, to_call
from metering.domain.entry import StoredEntry
from metering.domain.errors import InvalidEntry
from metering.domain.lateness import Arrival, arrival, counted_ms, milliseconds

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_10000_MS = 253_402_300_800_000


@dataclass(frozen=True, slots=True)
class Record:
    """A Kafka record of the request log; `taken_at` is when it was taken in."""

    partition: int
    offset: int
    taken_at: datetime
    value: bytes


@dataclass(frozen=True, slots=True)
class Late:
    """An entry outside the window in which calls count."""

    entry: StoredEntry
    received_at: datetime
    reason: Arrival


@dataclass(frozen=True, slots=True)
class Poison:
    """A record, or an entry in it, that cannot be read."""

    record: Record
    reason: str


@dataclass(slots=True)
class Batch:
    """What a run of records holds."""

    calls: list[Call] = field(default_factory=list)
    late: list[Late] = field(default_factory=list)
    poison: list[Poison] = field(default_factory=list)


def read_batch(
    records: Iterable[Record], versions: Mapping[str, Version], *, nets_from: datetime = _EPOCH
) -> Batch:
    """The calls of `records`. Lateness is judged by when a record was taken in, so a second reading judges alike.

    Calls begun before `nets_from` bear no network of their client.
    """
    batch, nets_from_ms = Batch(), milliseconds(nets_from)
    for record in records:
        try:
            entries, unreadable = read_envelope(record.value)
        except InvalidEntry as error:
            batch.poison.append(Poison(record, error.reason))
            continue
        batch.poison += [Poison(record, reason) for reason in unreadable]
        counted = first, last = counted_ms(record.taken_at)
        # A NUL can only be in a text if one is in the record, and there one look is enough for all its entries.
        suspect = b"\\u0000" in record.value or b"\x00" in record.value
        for entry in entries:
            if entry.started_at < nets_from_ms:
                entry.client_net = None
            try:
                if suspect and holds_nul(entry):
                    raise InvalidEntry("a text holds a NUL")
                if first <= entry.started_at <= last:
                    batch.calls.append(to_call(entry, versions))
                else:
                    batch.late.append(_late(entry, record, counted))
            except InvalidEntry as error:
                batch.poison.append(Poison(record, error.reason))
    return batch


def _late(entry: StoredEntry, record: Record, counted: tuple[int, int]) -> Late:
    if abs(entry.started_at) >= _YEAR_10000_MS:
        raise InvalidEntry("started_at out of range")
    return Late(entry, record.taken_at, arrival(entry.started_at, counted=counted))
