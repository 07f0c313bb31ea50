"""Kafka records → calls to record, entries to quarantine, and what cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from typing import NamedTuple

from metering.domain.call import Call, Version, holds_nul, read_envelope, to_call
from metering.domain.delta import by_subscription_day, fold
from metering.domain.entry import StoredEntry
from metering.domain.errors import InvalidEntry
from metering.domain.lateness import DAY_MS, Arrival, arrival, counted_ms, milliseconds, months_of
from metering.domain.pack import pack_calls, pack_deltas
from metering.domain.rollup import SubscriptionDay, SubscriptionDayKey

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_10000_MS = 253_402_300_800_000


class Record(NamedTuple):
    """A Kafka record of the request log; `taken_ms` since 1970 it was taken in."""

    partition: int
    offset: int
    taken_ms: int
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


@dataclass(frozen=True, slots=True)
class Added:
    """What calls add to everything that is made of them: how many they are, and the rows of their deltas, packed."""

    calls: int
    deltas: Iterable[bytes]
    days: Mapping[SubscriptionDayKey, SubscriptionDay]


NOTHING = Added(0, (), {})


def add_up(calls: Sequence[Call]) -> Added:
    """What `calls` add."""
    deltas = fold(calls)
    return Added(len(calls), pack_deltas(deltas), by_subscription_day(deltas))


def merged(one: Added, other: Added) -> Added:
    """What two sets of calls add."""
    days = dict(one.days)
    for key, day in other.days.items():
        if key in days:
            days[key].units += day.units
        else:
            days[key] = day
    return Added(one.calls + other.calls, chain(one.deltas, other.deltas), days)


@dataclass(frozen=True, slots=True)
class Packed:
    """Calls, at least one, that are rows already.

    `between_ms` are the first and the last moment at which one began, `again` reads them one by one.
    """

    calls: int
    between_ms: tuple[int, int]
    rows: Callable[[], Iterable[bytes]]
    added: Added
    again: Callable[[], Sequence[Call]]


@dataclass(slots=True)
class Batch:
    """What a run of records holds. Its calls are read into `calls`, or packed, or some are one and some the other."""

    calls: list[Call] = field(default_factory=list)
    late: list[Late] = field(default_factory=list)
    poison: list[Poison] = field(default_factory=list)
    packed: Packed | None = None

    def __len__(self) -> int:
        return len(self.calls) + (self.packed.calls if self.packed else 0)

    def months(self) -> set[date]:
        """The months of its calls, and any between those of the first and the last that are packed."""
        months = months_of(call.started_ms for call in self.calls)
        if self.packed:
            months |= months_of(range(*self.packed.between_ms, DAY_MS)) | months_of(
                self.packed.between_ms[1:]
            )
        return months

    def rows(self) -> Iterator[bytes]:
        """All its calls as rows of the request log."""
        return chain(self.packed.rows() if self.packed else (), pack_calls(self.calls))

    def added(self) -> Added:
        """What all its calls add, as if none of them had been recorded before."""
        if self.packed is None:
            return add_up(self.calls)
        packed = self.packed.added
        return merged(packed, add_up(self.calls)) if self.calls else packed

    def all_calls(self) -> Sequence[Call]:
        """All its calls, one by one."""
        return [*self.packed.again(), *self.calls] if self.packed else self.calls


def read_batch(
    records: Iterable[Record], versions: Mapping[str, Version], *, nets_from: datetime = EPOCH
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
        counted = first, last = counted_ms(record.taken_ms)
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
    return Late(
        entry, EPOCH + timedelta(milliseconds=record.taken_ms), arrival(entry.started_at, counted=counted)
    )
