"""The consumer loop of every service: records in, one transaction for their effects, the inbox and the offset."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import ValidationError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from common import inbox
from common.clock import Clock
from common.db import Database
from common.events import Incoming
from common.ids import derived_id
from common.kafka.cluster import MESSAGE_BYTES, ClusterWatch
from common.kafka.dead_letters import PoisonMessage, park
from common.kafka.positions import Position, digest, resume
from common.leader import leadership
from common.log import get_logger
from common.metrics import EVENTS_HANDLED
from common.settings import ServiceSettings

Handler = Callable[..., Awaitable[None]]
_BATCH = 200
_POLL_MS = 1000
_LOOK_MS = 20
log = get_logger()

_STORED = text("SELECT * FROM kafka_offset WHERE topic = ANY(:topics)")
_FENCE = text("""
    SELECT next_offset, cluster_id FROM kafka_offset WHERE topic = :topic AND partition = :partition FOR UPDATE""")
_STORE = text("""
    INSERT INTO kafka_offset (topic, partition, cluster_id, next_offset, last_digest, high_watermark, updated_at)
    VALUES (:topic, :partition, :cluster, :next, :digest, :high, :now)
    ON CONFLICT (topic, partition) DO UPDATE SET
        cluster_id = excluded.cluster_id, next_offset = excluded.next_offset, last_digest = excluded.last_digest,
        high_watermark = excluded.high_watermark, updated_at = excluded.updated_at""")

_PASS_OVER = text("""
    UPDATE kafka_offset SET next_offset = :next, last_digest = NULL
    WHERE topic = :topic AND partition = :partition AND cluster_id = :cluster AND next_offset = :before""")


class Fenced(Exception):
    """Somebody else moved the offset: this consumer starts again from what the database says."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A topic's events as `model` reads them, and what handles one: `await handler(session, event, now=now)`."""

    model: type[Incoming]
    handler: Handler


@dataclass(slots=True)
class Runner:
    """Handles records of some topics; the database decides where it goes on."""

    db: Database
    clock: Clock
    service: str
    cluster_id: str
    subscriptions: Mapping[str, Subscription]  # by the topic's full name
    positions: dict[TopicPartition, int]

    async def handle(self, partition: TopicPartition, records: Sequence[Any], *, high_watermark: int) -> None:
        """The effects of `records` and the offset after them are committed together, once."""
        now = self.clock.now()
        outcomes: list[str] = []
        async with self.db.begin() as session:
            await self._fence(
                session, partition
            )  # first: nothing may be written before it is known that we may
            for record in records:
                outcomes.append(await self._handle_one(session, record, now))
            last = records[-1]
            await session.execute(
                _STORE,
                {
                    "topic": partition.topic, "partition": partition.partition, "cluster": self.cluster_id,
                    "next": last.offset + 1, "digest": digest(last.value), "high": high_watermark, "now": now,
                },
            )  # fmt: skip
        self.positions[partition] = records[-1].offset + 1
        for outcome in outcomes:
            EVENTS_HANDLED.labels(self.service, partition.topic, outcome).inc()

    async def _fence(self, session: AsyncSession, partition: TopicPartition) -> None:
        names = {"topic": partition.topic, "partition": partition.partition}
        row = (await session.execute(_FENCE, names)).first()
        same_log = row is not None and row.cluster_id == self.cluster_id
        if row is not None and same_log and row.next_offset != self.positions[partition]:
            raise Fenced(f"{partition} is at {row.next_offset}, not at {self.positions[partition]}")

    async def _handle_one(self, session: AsyncSession, record: Any, now: datetime) -> str:
        subscription = self.subscriptions[record.topic]
        try:
            event = subscription.model.model_validate_json(record.value or b"")
            if not await inbox.is_new(session, _event_id(record), topic=record.topic, now=now):
                return "repeated"
            async with session.begin_nested():
                await subscription.handler(session, event, now=now)
        except (ValidationError, PoisonMessage, DBAPIError) as error:
            if isinstance(error, DBAPIError) and not _is_unstorable(error):
                raise
            log.error(
                "event.parked",
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                error=str(error),
            )
            await park(
                session, topic=record.topic, partition=record.partition, offset=record.offset,
                payload=record.value or b"", reason=str(error), now=now,
            )  # fmt: skip
            return "parked"
        return "handled"


def _is_unstorable(error: DBAPIError) -> bool:
    """A value that PostgreSQL cannot hold, today or tomorrow (SQLSTATE class 22, data exception)."""
    return str(getattr(error.orig, "sqlstate", None) or "").startswith("22")


def _event_id(record: Any) -> UUID:
    """The CloudEvents id; for a record without one, its place in the log."""
    for name, value in record.headers:
        if name == "ce_id":
            try:
                return UUID(value.decode())
            except ValueError:
                break
    return derived_id(
        "record", record.topic, str(record.partition), str(record.offset), digest(record.value).hex()
    )


async def stored_positions(db: Database, topics: Sequence[str]) -> dict[TopicPartition, Position]:
    """How far each partition of `topics` was read."""
    async with db.begin() as session:
        rows = (await session.execute(_STORED, {"topics": list(topics)})).all()
    return {
        TopicPartition(row.topic, row.partition): Position(
            row.cluster_id,
            row.next_offset,
            bytes(row.last_digest) if row.last_digest else None,
            row.high_watermark,
        )
        for row in rows
    }


async def consume(
    subscriptions: Sequence[Subscription], *, db: Database, settings: ServiceSettings, clock: Clock,
    stop: asyncio.Event, service: str, handled: Callable[[], None] = lambda: None,
) -> None:  # fmt: skip
    """Handle records until `stop` is set, calling `handled` after each commit; raises to be run again.

    One replica at a time is active (an advisory lock); the others wait. Should two ever be, the fence keeps one out.
    LogReplaced, at the start or before a batch, means that nothing is handled until an operator has looked.
    """
    by_topic = {settings.kafka_topic_prefix + s.model.topic: s for s in subscriptions}
    servers = settings.kafka_bootstrap_servers
    async with (
        leadership(db, f"consume {service}", stop) as leader,
        ClusterWatch(servers) as cluster,
        groupless_consumer(servers) as consumer,
        groupless_consumer(servers, wait_ms=_LOOK_MS) as witness,
    ):
        known: list[TopicPartition] = []
        runner = Runner(db, clock, service, cluster.id, by_topic, {})
        pruning = inbox.Pruning(db)
        while not stop.is_set():
            if cluster.due:
                await cluster.check()
                found = await cluster.partitions(by_topic)
                if found != known:
                    stored = await stored_positions(db, list(by_topic))
                    runner.positions = await resume(
                        consumer, found, stored, cluster_id=cluster.id, service=service
                    )
                    await pass_over_lost(db, stored, runner.positions, cluster_id=cluster.id)
                    known = found
            fetched = await _getmany(consumer, known)
            await check_log(witness, fetched, db=db, cluster_id=cluster.id, service=service)
            for partition, records in fetched.items():
                await runner.handle(partition, records, high_watermark=consumer.highwater(partition) or 0)
                handled()
            await pruning.step(clock.now())
            leader.check()


async def check_log(
    witness: AIOKafkaConsumer, fetched: Collection[TopicPartition], *, db: Database, cluster_id: str, service: str
) -> None:  # fmt: skip
    """Before what was fetched still stands what was handled last. Raises LogReplaced where something else does.

    Kafka gives no error when a topic was made anew and has grown beyond our place: it would be read on from there, and
    what lies before it never. `witness` looks, so that what the consumer has fetched ahead is not thrown away.
    """
    stored = await stored_positions(db, sorted({partition.topic for partition in fetched})) if fetched else {}
    read = {p: stored[p] for p in fetched if p in stored and stored[p].cluster_id == cluster_id}
    if read:
        await resume(witness, list(read), read, cluster_id=cluster_id, service=service)
        witness.pause(*read)  # it would go on fetching what nobody asks for


async def pass_over_lost(
    db: Database,
    stored: Mapping[TopicPartition, Position],
    starts: Mapping[TopicPartition, int],
    *,
    cluster_id: str,
) -> None:
    """What retention deleted before it was read is behind us: the fence would hold us back for ever otherwise."""
    async with db.begin() as session:
        for partition, position in stored.items():
            start = starts.get(partition, 0)
            if position.cluster_id == cluster_id and start > position.next_offset:
                names = {"topic": partition.topic, "partition": partition.partition, "cluster": cluster_id}
                await session.execute(_PASS_OVER, names | {"next": start, "before": position.next_offset})


async def _getmany(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
) -> Mapping[TopicPartition, Sequence[Any]]:
    if not partitions:
        await asyncio.sleep(_POLL_MS / 1000)
        return {}
    found: Mapping[TopicPartition, Sequence[Any]] = await consumer.getmany(
        timeout_ms=_POLL_MS, max_records=_BATCH
    )
    return found


@asynccontextmanager
async def groupless_consumer(servers: str, *, share_bytes: int = MESSAGE_BYTES, wait_ms: int = 250) -> Any:
    """A consumer whose offsets are in PostgreSQL: it belongs to no group, and begins nowhere by itself.

    One fetch brings at most `share_bytes` of a partition, and eight times as much in all.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers, enable_auto_commit=False, auto_offset_reset="none",
        fetch_max_bytes=8 * share_bytes, max_partition_fetch_bytes=share_bytes, fetch_max_wait_ms=wait_ms,
    )  # fmt: skip
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()
