"""What the consumer makes of a broker that goes silent or loses what it held, on a scripted one."""

from __future__ import annotations

from dataclasses import dataclass, field
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

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        found, self.records = self.records, []
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
