"""Kafka as a script has it: a log in memory, a consumer and a producer as the shipped code uses them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError

TOPIC = "gateway.requests.v1"


@dataclass(slots=True)
class Clock:
    """A clock that moves when the script says so."""

    at: datetime

    def now(self) -> datetime:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)

    @property
    def milliseconds(self) -> int:
        return round(self.at.timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Record:
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(slots=True)
class Log:
    """What the broker holds of one topic."""

    clock: Clock
    partitions: list[list[Record]]

    def append(self, partition: int, value: bytes, key: bytes | None = None) -> None:
        records = self.partitions[partition]
        records.append(Record(partition, len(records), self.clock.milliseconds, key, value))


async def nobody() -> None:
    """Nothing happens meanwhile."""


@dataclass(slots=True)
class ScriptedConsumer:
    """Gives out records in portions and orders of the script's choice; now and then one that does not follow."""

    log: Log
    topic: str
    random: random.Random
    glitches: bool = False
    meanwhile: Callable[[], Awaitable[None]] = nobody
    _assigned: list[TopicPartition] = field(default_factory=list)
    _paused: set[TopicPartition] = field(default_factory=set)
    _at: dict[TopicPartition, int] = field(default_factory=dict)
    _fetched: bool = False

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        self._assigned = list(partitions)

    def assignment(self) -> set[TopicPartition]:
        return set(self._assigned)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._at[partition] = offset

    def pause(self, *partitions: TopicPartition) -> None:
        self._paused.update(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self._paused.difference_update(partitions)

    async def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    def highwater(self, partition: TopicPartition) -> int | None:
        return len(self.log.partitions[partition.partition]) if self._fetched else None

    def last_poll_timestamp(self, _: TopicPartition) -> int | None:
        return self.log.clock.milliseconds if self._fetched else None

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int = 50
    ) -> dict[TopicPartition, list[Record]]:
        self._fetched = True
        asked = [tp for tp in partitions or self._assigned if tp not in self._paused]
        self.random.shuffle(asked)
        found = {}
        for tp in asked if partitions else asked[: self.random.randint(1, len(asked) or 1)]:
            at = self._at[tp]
            if self.glitches and not partitions and self.random.random() < 0.05:
                at = max(at + self.random.choice((-1, 1)), 0)
            portion = self.log.partitions[tp.partition][at : at + self.random.randint(1, max_records)]
            if portion:
                found[tp] = portion
                self._at[tp] = portion[-1].offset + 1
        if not partitions:
            await self.meanwhile()  # another process may run between a fetch and what is done with it
        return found


@dataclass(slots=True)
class ScriptedProducer:
    """Takes records into partitions by key; some are refused, some taken without the sender learning of it."""

    topics: dict[str, Log]
    clock: Clock
    random: random.Random
    unreliable: bool = False

    async def send(
        self, topic: str, value: bytes, *, key: bytes, headers: Sequence[tuple[str, bytes]]
    ) -> asyncio.Future[None]:
        log = self.topics.setdefault(topic, Log(self.clock, [[]]))
        fate = self.random.random() if self.unreliable else 1.0
        if fate > 0.1:
            log.append(0, value, key)
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if fate < 0.2:
            answer.set_exception(KafkaTimeoutError())
            answer.exception()  # a sender that dies does not look at it, and need not be told of that
        else:
            answer.set_result(None)
        return answer
