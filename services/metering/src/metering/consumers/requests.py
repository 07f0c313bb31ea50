"""gateway.requests.v1: the consumer loop of metering. Offsets of truth are in PostgreSQL; Kafka only holds records."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from common.clock import Clock
from common.db import Database
from common.kafka.cluster import MESSAGE_BYTES, ClusterWatch
from common.kafka.positions import LogReplaced, digest, resume
from common.kafka.runner import groupless_consumer, stored_positions
from common.log import get_logger
from common.steps import Passed, unwatched
from metering.clients.fast_reader import ReadBatch, batch_reader
from metering.clients.kafka_log import ensure_request_log
from metering.clients.log_witness import LogWitness, Seen
from metering.db import positions, request_log
from metering.db.claims import Claims, claims
from metering.db.copies import VersionCache
from metering.db.positions import Advance
from metering.domain.batch import Batch, Record, read_batch
from metering.domain.errors import Fenced
from metering.metrics import (
    BATCH_CALLS,
    BATCH_SECONDS,
    CALLS,
    CALLS_READ,
    FENCED,
    HALTED,
    LAG_RECORDS,
    LATE_MONTHS,
    POISONED,
    QUARANTINED,
    WATERMARK_AGE_SECONDS,
)
from metering.usecases.record_calls import Log, record_calls

_POLL_MS = 250
_POLL_RECORDS = 50
_IDLE_SECONDS = 1.0
_RESCAN_SECONDS = 5.0
_CLAIM_SECONDS = 0.5
_STALLED_SECONDS = 15.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
log = get_logger()


class Stalled(Exception):
    """Fetches no longer come back, without any error: start again from what PostgreSQL holds."""


class LogTruncated(Exception):
    """The log ends before the place where we stand, or skipped a record: start again and look at it from there."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Where the request log is and how it is read: at most about `batch_calls` calls or `batch_seconds` a batch."""

    bootstrap_servers: str
    topic: str
    partitions: int
    batch_calls: int
    batch_seconds: float
    client_net_keep: timedelta = timedelta(days=30)
    fast: bool | None = None  # by the compiled reader; None: where it was built
    ahead: bool = True  # under load the next batch is read while one is recorded


@dataclass(frozen=True, slots=True)
class Ready:
    """A batch that was read: its records follow on `positions`, and behind them each partition stands at its move.

    `more` when there may be another one to read at once.
    """

    batch: Batch
    positions: Mapping[int, int]
    moves: Mapping[int, Advance]
    more: bool


@dataclass(slots=True)
class RequestConsumer:
    """Reads the request log and records it, batch by batch."""

    db: Database
    clock: Clock
    reading: Reading
    consumer: AIOKafkaConsumer
    cluster_id: str
    passed: Passed = unwatched
    positions: dict[int, int] = field(default_factory=dict)
    witness: LogWitness | None = None
    read: ReadBatch = read_batch
    _read_to: dict[int, int] = field(default_factory=dict)  # where reading stands; positions are recorded
    _ready: Ready | None = None
    _digests: dict[int, bytes] = field(default_factory=dict)  # of the record before where reading stands
    _versions: VersionCache = field(default_factory=VersionCache)
    _months: set[date] = field(default_factory=set)
    # Repeats come in runs (a gateway that sends again, a file-log beside http-log): the last batch tells of the next.
    _unseen: bool = True
    _idle_told_at: float = 0.0
    _free_since: float = 0.0

    async def begin(self, partitions: Sequence[int]) -> None:
        """Every partition is assigned and stands where PostgreSQL says; raises LogReplaced when that is another log."""
        assigned = [TopicPartition(self.reading.topic, partition) for partition in partitions]
        stored = await stored_positions(self.db, [self.reading.topic])
        starts = await resume(self.consumer, assigned, stored, cluster_id=self.cluster_id, service="metering")
        starts |= await self._retained([tp for tp, offset in starts.items() if offset == 0])
        self.positions = {tp.partition: offset for tp, offset in starts.items()}
        self._read_to, self._ready = dict(self.positions), None
        self._digests = {
            tp.partition: known.last_digest
            for tp, known in stored.items()
            if known.last_digest is not None and starts.get(tp) == known.next_offset
        }
        async with self.db.begin() as session:
            await positions.adopt(
                session,
                self.reading.topic,
                cluster_id=self.cluster_id,
                starts=self.positions,
                now=self.clock.now(),
            )
        self._free_since = time.time()
        HALTED.set(0)

    async def _retained(self, unread: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Where a partition that was never read can be begun: at its first record that retention has left."""
        first: dict[TopicPartition, int] = (
            dict(await self.consumer.beginning_offsets(unread)) if unread else {}
        )
        for partition, offset in first.items():
            if offset > 0:
                log.error("request_log.begins_late", partition=partition.partition, first=offset)
            self.consumer.seek(partition, offset)
        return first

    async def was_deleted_unread(self) -> bool:
        """True if retention deleted records before we read them: a log that ends before our place is another matter."""
        standing = {TopicPartition(self.reading.topic, p): offset for p, offset in self.positions.items()}
        first = await self.consumer.beginning_offsets(list(standing)) if standing else {}
        return any(first[tp] > offset for tp, offset in standing.items())

    async def step(self) -> int:
        """Record what has gathered, at most for a batch's time and size; how many calls were new."""
        ready, self._ready = self._ready or await self._next(), None
        if ready is None:
            self._check_fetches()
            await self._tell_idle()
            return 0
        # PostgreSQL works on this batch while we read the next one; nothing of that is recorded before this one is.
        ahead = asyncio.create_task(self._next()) if ready.more and self.reading.ahead else None
        try:
            new = await self._record(ready)
        except BaseException:
            if ahead is not None:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)
            raise
        self._free_since = time.time()
        if ahead is not None:
            self._ready = await ahead
        return new

    async def _next(self) -> Ready | None:
        """The next batch, if any has gathered. Raises LogTruncated where it does not follow on what was read."""
        records = await self._gather()
        self._check_watermarks()
        if not records:
            return None
        await self.check_log({record.partition for record in records})
        positions, moves = dict(self._read_to), self._moves(records)
        self.passed("gathered")
        async with self.db.begin() as session:
            await self._versions.refresh(session)
        # Repeats are read one by one, to be told from what is new.
        read = self.read if self._unseen else read_batch
        # A day less than is kept: what is erased is behind us, and this is not committed yet.
        nets_from = self.clock.now() - self.reading.client_net_keep + timedelta(days=1)
        batch = await asyncio.to_thread(read, records, self._versions.versions, nets_from=nets_from)
        self._read_to |= {partition: move.next_offset for partition, move in moves.items()}
        self._digests |= {partition: move.digest for partition, move in moves.items()}
        more = any(move.high_watermark > move.next_offset for move in moves.values())
        return Ready(batch, positions, moves, more)

    async def check_log(self, partitions: Collection[int]) -> None:
        """Before our place still stands what we read last. Raises LogTruncated where it does not."""
        seen = {
            partition: Seen(self._read_to[partition] - 1, self._digests[partition])
            for partition in partitions
            if partition in self._digests
        }
        missed = await self.witness.misses(seen) if self.witness is not None and seen else []
        if missed:
            raise LogTruncated(f"{self.reading.topic}{missed} is not the log that was read so far")

    async def _gather(self) -> list[Record]:
        records: list[Record] = []
        deadline = time.monotonic() + self.reading.batch_seconds
        calls, wait_ms = 0, _POLL_MS
        while calls < self.reading.batch_calls:
            found = await self.consumer.getmany(timeout_ms=wait_ms, max_records=_POLL_RECORDS)
            if not found:
                break
            for polled in found.values():
                records += [Record(r.partition, r.offset, r.timestamp, r.value or b"") for r in polled]
                calls += sum([_count(record) for record in polled])
            if time.monotonic() > deadline:
                break
            wait_ms = 0  # what is there already; nobody waits for more while something can be recorded
            await asyncio.sleep(0)  # a poll that finds something lets nobody else run: not the batch before
        return records

    def _check_watermarks(self) -> None:
        """A broker that lost its log says so only by a high watermark below our position; a seek past it is silent."""
        lag = 0
        for partition, position in self._read_to.items():
            high = self.consumer.highwater(TopicPartition(self.reading.topic, partition))
            if high is None:
                continue
            if high < position:
                raise LogTruncated(
                    f"{self.reading.topic}[{partition}] ends at {high}, we stand at {position}"
                )
            lag += high - self.positions[partition]
        LAG_RECORDS.set(lag)

    def _check_fetches(self) -> None:
        """Silence is told from being idle by the time of the last fetch, never by "no messages".

        While a batch is recorded nothing is fetched: that time is not silence.
        """
        for partition in self.positions:
            fetched_ms = self.consumer.last_poll_timestamp(TopicPartition(self.reading.topic, partition))
            if time.time() - max((fetched_ms or 0) / 1000, self._free_since) > _STALLED_SECONDS:
                raise Stalled(f"{self.reading.topic}[{partition}] was last fetched at {fetched_ms}")

    async def _record(self, ready: Ready) -> int:
        batch, moves, started = ready.batch, ready.moves, time.monotonic()
        await self._ensure_months(batch.months())
        try:
            async with self.db.begin() as session:
                recorded = await record_calls(
                    session, batch, log=Log(self.reading.topic, self.cluster_id, ready.positions), moves=moves,
                    now=self.clock.now(), unseen=self._unseen, passed=self.passed,
                )  # fmt: skip
        except Fenced:
            FENCED.inc()
            raise
        self._unseen = not recorded.repeated
        self.passed("committed")
        BATCH_SECONDS.observe(time.monotonic() - started)
        self.positions |= {partition: move.next_offset for partition, move in moves.items()}
        CALLS.labels("new").inc(recorded.new)
        CALLS.labels("repeated").inc(recorded.repeated)
        LATE_MONTHS.inc(recorded.late_months)
        POISONED.inc(len(batch.poison))
        CALLS_READ.labels("compiled").inc(len(batch) - len(batch.calls))
        CALLS_READ.labels("python").inc(len(batch.calls))
        BATCH_CALLS.observe(len(batch))
        for late in batch.late:
            QUARANTINED.labels(late.reason).inc()
        return recorded.new

    def _moves(self, records: Sequence[Record]) -> dict[int, Advance]:
        """Where each partition will stand. Raises LogTruncated where the records do not follow on each other."""
        expected, last = dict(self._read_to), {}
        for record in records:
            if record.offset != expected[record.partition]:
                raise LogTruncated(
                    f"{self.reading.topic}[{record.partition}] has {record.offset}, not {expected[record.partition]}"
                )
            expected[record.partition] = record.offset + 1
            last[record.partition] = record
        moves = {}
        for partition, record in last.items():
            caught_up = self._caught_up_at(partition, record.offset + 1)
            high = self.consumer.highwater(TopicPartition(self.reading.topic, partition)) or record.offset + 1
            watermark = caught_up or _instant(record.taken_ms)
            moves[partition] = Advance(record.offset + 1, digest(record.value), high, watermark)
        return moves

    def _caught_up_at(self, partition: int, position: int) -> datetime | None:
        """When the last fetch was made, if it found nothing beyond `position`."""
        tp = TopicPartition(self.reading.topic, partition)
        fetched_ms = self.consumer.last_poll_timestamp(tp)
        if fetched_ms is None or self.consumer.highwater(tp) != position:
            return None
        return _instant(fetched_ms)

    async def _tell_idle(self) -> None:
        """Partitions that were found read to their end say so, about once a second: periods close by it."""
        if time.monotonic() - self._idle_told_at < _IDLE_SECONDS:
            return
        self._idle_told_at = time.monotonic()
        found = {p: at for p, position in self.positions.items() if (at := self._caught_up_at(p, position))}
        async with self.db.begin() as session:
            await positions.advance_idle(
                session,
                self.reading.topic,
                cluster_id=self.cluster_id,
                positions=self.positions,
                watermarks=found,
            )
            as_of = await positions.as_of(session, self.reading.topic)
        if as_of is not None:
            WATERMARK_AGE_SECONDS.set(max((self.clock.now() - as_of).total_seconds(), 0))

    async def _ensure_months(self, months: set[date]) -> None:
        missing = months - self._months
        if missing:
            async with self.db.begin() as session:
                await request_log.ensure_partitions(session, missing)
            self._months |= missing


async def consume_requests(
    reading: Reading,
    *,
    db: Database,
    clock: Clock,
    stop: asyncio.Event,
    passed: Passed = unwatched,
) -> None:
    """Record a fair share of the request log until `stop` is set; raises to be run again from what PostgreSQL holds."""
    servers = reading.bootstrap_servers
    async with claims(db, reading.topic) as own, ClusterWatch(servers) as cluster:
        await ensure_request_log(servers, reading.topic, partitions=reading.partitions)
        async with (
            groupless_consumer(servers, share_bytes=2 * MESSAGE_BYTES) as consumer,
            LogWitness(servers, reading.topic) as witness,
        ):
            reader = RequestConsumer(
                db,
                clock,
                reading,
                consumer,
                cluster.id,
                passed,
                witness=witness,
                read=batch_reader(reading.fast),
            )
            try:
                await _read(reader, cluster, own, stop)
            except (LogReplaced, OffsetOutOfRangeError) as error:
                if isinstance(error, OffsetOutOfRangeError) and await reader.was_deleted_unread():
                    raise  # begun again, it goes on at the log's start
                HALTED.set(1)
                log.critical(
                    "request_log.replaced",
                    error=str(error),
                    cure="metering reset-offsets, after a look at it",
                )
                raise


async def _read(reader: RequestConsumer, cluster: ClusterWatch, own: Claims, stop: asyncio.Event) -> None:
    partitions: list[int] = []
    mine: list[int] = []
    scanned_at = claimed_at = 0.0
    while not stop.is_set():
        now = time.monotonic()
        if now - scanned_at > _RESCAN_SECONDS:  # partitions may be added while we run
            partitions = [found.partition for found in await cluster.partitions([reader.reading.topic])]
            await reader.check_log(mine)  # also where nothing comes: periods close by what is believed read
            scanned_at = now
        if now - claimed_at > _CLAIM_SECONDS:  # and others may begin to read, or end
            found = await own.renew(partitions)
            if found != mine:
                await reader.begin(found)
                mine = found
            claimed_at = now
        await cluster.check()
        own.check()
        if mine:
            await reader.step()
        else:
            await asyncio.sleep(_CLAIM_SECONDS)


def _instant(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


def _count(record: Any) -> int:
    for name, value in record.headers:
        if name == "count" and value.isdigit():
            return int(value)
    return 1
