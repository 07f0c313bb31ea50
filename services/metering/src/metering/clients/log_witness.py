"""The record before a batch, looked at once more: whether the log is still the one that was read.

aiokafka knows no topic ids. A consumer whose topic was made anew, and filled beyond its place before it fetched again,
would go on there without any error, and what lies before its place would never be counted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from common.kafka.positions import digest

_SECONDS = 5.0
_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Seen:
    """The last record that was read of a partition."""

    offset: int
    digest: bytes


class LogWitness:
    """Reads single records of one topic, beside the consumer, whose fetches it leaves alone."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._topic = topic
        # Little, but a record of every partition in one answer: for each that is left out, aiokafka waits a while.
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap_servers, enable_auto_commit=False, auto_offset_reset="none",
            max_partition_fetch_bytes=_BYTES, fetch_max_wait_ms=20,
        )  # fmt: skip

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def misses(self, seen: Mapping[int, Seen]) -> list[int]:
        """The partitions in which another record, or none, stands where one was seen; not those that retention took.

        TimeoutError when the broker does not answer.
        """
        wanted = {TopicPartition(self._topic, partition): last for partition, last in seen.items()}
        self._consumer.assign(list(wanted))
        for partition, last in wanted.items():
            self._consumer.seek(partition, last.offset)
        missed = [tp.partition for tp, last in wanted.items() if not await self._is_there(tp, last)]
        self._consumer.pause(*wanted)  # it would go on fetching what nobody asks for
        return missed

    async def _is_there(self, partition: TopicPartition, seen: Seen) -> bool:
        try:
            async with asyncio.timeout(_SECONDS):
                while True:
                    found = await self._consumer.getmany(partition, timeout_ms=250, max_records=1)
                    for record in found.get(partition, ()):
                        if record.offset == seen.offset:
                            return digest(record.value) == seen.digest
                        return await self._was_deleted(partition, seen)
        except OffsetOutOfRangeError:
            pass
        except TimeoutError:
            high = self._consumer.highwater(partition)
            if high is None or high > seen.offset:  # a slow broker, of whose log nothing can be said
                raise
        return await self._was_deleted(partition, seen)

    async def _was_deleted(self, partition: TopicPartition, seen: Seen) -> bool:
        return bool((await self._consumer.beginning_offsets([partition]))[partition] > seen.offset)
