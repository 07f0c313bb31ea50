"""Where reading goes on, against a scripted consumer: what retention and tampering leave of a log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError
from sqlalchemy import text

from common import inbox
from common.db import Database
from common.kafka.positions import LogReplaced, Position, digest, resume
from common.kafka.runner import pass_over_lost, stored_positions
from common.metrics import UNREAD_LOST
from tests.support.clock import FixedClock

LOG = TopicPartition("positions.v1", 0)


@dataclass(frozen=True)
class Record:
    offset: int
    value: bytes


@dataclass
class ScriptedConsumer:
    """A log of `end - start` records that a consumer without offset reset reads; a fetch deletes `deletes` of them."""

    start: int
    end: int
    deletes: int = 0
    at: int = -1
    paused: list[TopicPartition] = field(default_factory=list)

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        assert partitions == [LOG]

    def assignment(self) -> set[TopicPartition]:
        return {LOG}

    def pause(self, *partitions: TopicPartition) -> None:
        self.paused += partitions

    def resume(self, *partitions: TopicPartition) -> None:
        self.paused = [p for p in self.paused if p not in partitions]

    def seek(self, _: TopicPartition, offset: int) -> None:
        self.at = offset

    async def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.start)

    async def getmany(self, *_: TopicPartition, **__: Any) -> dict[TopicPartition, list[Record]]:
        self.start += self.deletes
        if not self.start <= self.at <= self.end:
            raise OffsetOutOfRangeError({LOG: self.at})
        return {LOG: [Record(self.at, str(self.at).encode())]} if self.at < self.end else {}


async def resumed(consumer: Any, next_offset: int, *, read: str | None = None) -> int:
    last = digest((read or str(next_offset - 1)).encode())
    stored = {LOG: Position("c1", next_offset, last, next_offset)}
    starts = await resume(consumer, [LOG], stored, cluster_id="c1", service="positions")
    assert consumer.at == starts[LOG]
    return starts[LOG]


def lost() -> float:
    return float(UNREAD_LOST.labels("positions", LOG.topic)._value.get())


@pytest.mark.parametrize(
    ("start", "end", "goes_on_at", "unread"),
    [(0, 12, 10, 0), (9, 10, 10, 0), (10, 10, 10, 0), (10, 15, 10, 0), (13, 13, 13, 3), (13, 20, 13, 3)],
)
async def test_what_retention_deleted_is_passed_over_and_named_if_unread(
    start: int, end: int, goes_on_at: int, unread: int
) -> None:
    before = lost()
    assert await resumed(ScriptedConsumer(start, end), 10) == goes_on_at
    assert lost() - before == unread


async def test_retention_may_be_at_work_while_it_is_looked_at() -> None:
    assert await resumed(ScriptedConsumer(5, 20, deletes=7), 10) == 12


async def test_another_record_or_a_shorter_log_halts() -> None:
    with pytest.raises(LogReplaced):
        await resumed(ScriptedConsumer(0, 12), 10, read="another")
    with pytest.raises(LogReplaced):
        await resumed(ScriptedConsumer(0, 3), 10)


@pytest.fixture
async def embedded(kafka: str) -> AsyncIterator[AIOKafkaConsumer]:
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    for n in range(3):
        batch = producer.create_batch()
        for m in range(4):
            batch.append(key=None, value=str(4 * n + m).encode(), timestamp=None)
        batch.close()
        await (await producer.send_batch(batch, LOG.topic, partition=0))
    await producer.stop()
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="none")
    await consumer.start()
    yield consumer
    await consumer.stop()


async def test_the_embedded_broker_s_log_starts_at_nought_after_batches(embedded: AIOKafkaConsumer) -> None:
    assert await embedded.beginning_offsets([LOG]) == {LOG: 0}
    stored = {LOG: Position("c1", 12, digest(b"11"), 12)}
    assert await resume(embedded, [LOG], stored, cluster_id="c1", service="positions") == {LOG: 12}


async def test_the_inbox_is_pruned_hourly_and_not_more_often(worker_db: Database, clock: FixedClock) -> None:
    pruning = inbox.Pruning(worker_db)

    async def remembered_after_a_step(event: int) -> int:
        async with worker_db.begin() as session:
            old = clock.now() - inbox.KEEP - timedelta(days=1)
            await inbox.is_new(session, UUID(int=event), topic=LOG.topic, now=old)
        await pruning.step(clock.now())
        async with worker_db.begin() as session:
            return int(await session.scalar(text("SELECT count(*) FROM inbox")) or 0)

    assert await remembered_after_a_step(1) == 0
    clock.advance(minutes=59)
    assert await remembered_after_a_step(2) == 1
    clock.advance(minutes=1)
    assert await remembered_after_a_step(3) == 0


async def test_the_stored_offset_follows_over_what_was_deleted(worker_db: Database) -> None:
    async with worker_db.begin() as session:
        await session.execute(
            text("INSERT INTO kafka_offset VALUES (:topic, 0, 'c1', 10, '\\x00', 10, NULL, now())"),
            {"topic": LOG.topic},
        )
    stored = await stored_positions(worker_db, [LOG.topic])
    for start, expected in ((10, 10), (9, 10), (13, 13)):
        await pass_over_lost(worker_db, stored, {LOG: start}, cluster_id="c1")
        assert (await stored_positions(worker_db, [LOG.topic]))[LOG].next_offset == expected
