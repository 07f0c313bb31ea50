"""Kafka records → calls to record, entries to quarantine, and what cannot be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from metering.domain.call import Call, Version, read_envelope, to_call
from metering.domain.entry import Entry
from metering.domain.errors import InvalidEntry
from metering.domain.lateness import Arrival, arrival

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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

    entry: Entry
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
    batch = Batch()
    for record in records:
        try:
            entries = read_envelope(record.value)
        except InvalidEntry as error:
            batch.poison.append(Poison(record, error.reason))
            continue
        for entry in entries:
            try:
                _read_entry(entry, record, versions, batch, nets_from)
            except InvalidEntry as error:
                batch.poison.append(Poison(record, error.reason))
    return batch


def _read_entry(
    entry: Entry, record: Record, versions: Mapping[str, Version], batch: Batch, nets_from: datetime
) -> None:
    try:
        started_at = _EPOCH + timedelta(milliseconds=int(entry.started_at))
    except OverflowError as error:
        raise InvalidEntry("started_at out of range") from error
    if started_at < nets_from:
        entry.client_net = None
    verdict = arrival(started_at, received_at=record.taken_at)
    if verdict is Arrival.COUNTED:
        batch.calls.append(to_call(entry, versions))
    else:
        batch.late.append(Late(entry, record.taken_at, verdict))
