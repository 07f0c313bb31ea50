"""Where to go on reading. Each stored offset remembers its cluster and a digest of the last record read.

A consumer that trusts a bare offset skips silently whatever lies before it on a recreated topic (seen with Apache
Kafka: five records lost, no error). So at each start, and before each batch:

- another cluster id: the broker was replaced; what it had and we had not read is named, and reading begins at 0;
- the same cluster, and the log begins at or behind our offset: retention deleted the record we would look at. What it
  deleted unread is named, and reading goes on at the log's start;
- the same cluster, and the record before our offset is not the one we read: the log was tampered with; we halt.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from common.log import get_logger
from common.metrics import BROKER_REPLACED, UNREAD_LOST

_PEEK_SECONDS = 5.0
log = get_logger()


class LogReplaced(Exception):
    """The same cluster holds another log than the one we read: an operator has to look."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far one partition was read."""

    cluster_id: str
    next_offset: int
    last_digest: bytes | None
    high_watermark: int


def digest(value: bytes | None) -> bytes:
    """What identifies a record's content: the first 16 bytes of its SHA-256."""
    return hashlib.sha256(value or b"").digest()[:16]


async def resume(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], stored: Mapping[TopicPartition, Position],
    *, cluster_id: str, service: str,
) -> dict[TopicPartition, int]:  # fmt: skip
    """`consumer` is assigned to `partitions`, each at its next unread offset; those offsets are returned.

    Raises LogReplaced as said above.
    """
    consumer.assign(list(partitions))
    starts: dict[TopicPartition, int] = {}
    for partition in partitions:
        position = stored.get(partition)
        if position is None:
            starts[partition] = 0
        elif position.cluster_id != cluster_id:
            _name_what_is_lost(partition, position, cluster_id, service)
            starts[partition] = 0
        else:
            starts[partition] = await _verified(consumer, partition, position, service)
        consumer.seek(partition, starts[partition])
    return starts


def _name_what_is_lost(partition: TopicPartition, position: Position, cluster_id: str, service: str) -> None:
    unread = max(0, position.high_watermark - position.next_offset)
    BROKER_REPLACED.labels(service).inc()
    UNREAD_LOST.labels(service, partition.topic).inc(unread)
    log.error(
        "broker.replaced", topic=partition.topic, partition=partition.partition, before=position.cluster_id,
        now=cluster_id, unread_from=position.next_offset, unread_until=position.high_watermark, unread=unread,
    )  # fmt: skip


async def _verified(
    consumer: AIOKafkaConsumer, partition: TopicPartition, position: Position, service: str
) -> int:
    """Where to go on in a log that is, as far as it can be told, the one we read."""
    start = await _log_start(consumer, partition)
    if start < position.next_offset and position.last_digest is not None:
        try:
            _compare(partition, position, await _peek(consumer, partition, position.next_offset - 1))
        except OffsetOutOfRangeError as error:
            start = await _log_start(consumer, partition)  # retention may have been at work just now
            if start < position.next_offset:
                raise _replaced(partition, position) from error
    if start > position.next_offset:
        unread = start - position.next_offset
        UNREAD_LOST.labels(service, partition.topic).inc(unread)
        log.error(
            "log.deleted_unread", topic=partition.topic, partition=partition.partition,
            unread_from=position.next_offset, unread_until=start, unread=unread,
        )  # fmt: skip
    return max(start, position.next_offset)


async def _log_start(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int:
    return int((await consumer.beginning_offsets([partition]))[partition])


def _replaced(partition: TopicPartition, position: Position) -> LogReplaced:
    log.critical(
        "log.replaced", topic=partition.topic, partition=partition.partition, read_to=position.next_offset
    )
    return LogReplaced(
        f"{partition.topic}[{partition.partition}] is not the log that was read up to offset {position.next_offset}"
    )


def _compare(partition: TopicPartition, position: Position, record: Any) -> None:
    # A later record in its place is compaction at work: the log is longer than what we read.
    if record is not None and record.offset >= position.next_offset:
        return
    if record is None or digest(record.value) != position.last_digest:
        raise _replaced(partition, position)


async def _peek(consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int) -> Any:
    """The first record at or after `offset`, None when there is none."""
    others = [other for other in consumer.assignment() if other != partition]
    consumer.pause(*others)
    consumer.seek(partition, offset)
    try:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PEEK_SECONDS
        while loop.time() < deadline:
            found = await consumer.getmany(partition, timeout_ms=500, max_records=1)
            if found.get(partition):
                return found[partition][0]
        return None
    finally:
        consumer.resume(*others)
