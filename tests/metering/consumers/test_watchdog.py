"""What the consumer makes of a broker that goes silent or loses what it held, on a scripted one."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from aiokafka import TopicPartition

from common.clock import SystemClock
from metering.consumers.requests import LogTruncated, Reading, RequestConsumer, Stalled

PARTITION = TopicPartition("gateway.requests.v1", 0)


@dataclass
class ScriptedConsumer:
    """A consumer's view of one partition: what it last heard of its start and end, and when."""

    high: int | None = 10
    first: int = 0
    polled_ms: int | None = None
    records: list[Any] = field(default_factory=list)
    a_poll: int | None = None  # at most so many records

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        found = self.records[: self.a_poll]
        del self.records[: self.a_poll]
        return {PARTITION: found} if found else {}

    def highwater(self, _: TopicPartition) -> int | None:
        return self.high

    def last_poll_timestamp(self, _: TopicPartition) -> int | None:
        return self.polled_ms

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.first)


@dataclass
class ScriptedRecord:
    """A record that stands where it should not: nothing but its place is read."""

    offset: int
    partition: int = 0
    timestamp: int = 0
    value: bytes = b"[]"
    headers: tuple[tuple[str, bytes], ...] = ()


def at_ten(consumer: ScriptedConsumer) -> RequestConsumer:
    """A reader that has read up to offset 10; it touches no database in these situations."""
    reading = Reading("", PARTITION.topic, 1, batch_calls=1_000, batch_seconds=0.01)
    nowhere: Any = None
    scripted: Any = consumer
    return RequestConsumer(
        nowhere, SystemClock(), reading, scripted, "cluster", positions={0: 10}, _read_to={0: 10}
    )


@pytest.mark.parametrize("polled_ms", [None, 1_000])
async def test_fetches_that_no_longer_come_back_are_noticed_though_nothing_fails(
    polled_ms: int | None,
) -> None:
    with pytest.raises(Stalled):
        await at_ten(ScriptedConsumer(polled_ms=polled_ms)).step()


async def test_a_log_that_ends_before_our_place_is_noticed_without_a_record_of_it() -> None:
    with pytest.raises(LogTruncated, match="ends at 9, we stand at 10"):
        await at_ten(ScriptedConsumer(high=9)).step()


@pytest.mark.parametrize("offset", [9, 11])
async def test_records_that_do_not_follow_on_each_other_are_never_recorded(offset: int) -> None:
    consumer = ScriptedConsumer(high=12, records=[ScriptedRecord(offset)])
    with pytest.raises(LogTruncated, match=f"has {offset}, not 10"):
        await at_ten(consumer).step()


@pytest.mark.parametrize(("first", "deleted"), [(0, False), (10, False), (11, True)])
async def test_what_retention_deleted_unread_is_told_from_a_log_that_was_replaced(
    first: int, deleted: bool
) -> None:
    assert await at_ten(ScriptedConsumer(first=first)).was_deleted_unread() is deleted


async def test_gathering_what_waits_lets_others_run_after_each_poll() -> None:
    consumer = ScriptedConsumer(high=20, records=[ScriptedRecord(11 + n) for n in range(5)], a_poll=1)
    reader = at_ten(consumer)
    reader.reading = replace(reader.reading, batch_seconds=60)
    seen: list[int] = []

    async def record() -> None:
        while True:
            seen.append(len(consumer.records))
            await asyncio.sleep(0)

    recording = asyncio.create_task(record())
    with pytest.raises(LogTruncated):  # not before all five were gathered
        await reader.step()
    recording.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await recording
    assert {4, 3, 2, 1, 0} <= set(seen)
