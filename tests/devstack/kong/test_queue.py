"""The queue of log entries: batches, retries, and what it loses and says so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from devstack.kong.queue import LogQueue, QueueSettings

from .support import eventually


@dataclass
class Collector:
    """Takes batches, or refuses as often as told."""

    refuse: int = 0
    batches: list[list[bytes]] = field(default_factory=list)
    attempts: list[float] = field(default_factory=list)
    lost: int = 0

    async def send(self, batch: Sequence[bytes]) -> str | None:
        self.attempts.append(asyncio.get_running_loop().time())
        if self.refuse > 0:
            self.refuse -= 1
            return "not now"
        self.batches.append(list(batch))
        return None

    def lose(self, count: int) -> None:
        self.lost += count

    def queue(self, **settings: float) -> LogQueue:
        return LogQueue("test", QueueSettings(**settings), self.send, on_lost=self.lose)  # type: ignore[arg-type]


async def test_a_full_batch_leaves_at_once() -> None:
    collector = Collector()
    queue = collector.queue(max_batch_size=3, max_coalescing_delay=60)
    for entry in (b"1", b"2", b"3", b"4"):
        queue.put(entry)
    await eventually(lambda: collector.batches == [[b"1", b"2", b"3"]])
    await queue.flush(1)
    assert collector.batches == [[b"1", b"2", b"3"], [b"4"]]


async def test_a_part_of_a_batch_leaves_after_the_coalescing_delay() -> None:
    collector = Collector()
    queue = collector.queue(max_batch_size=100, max_coalescing_delay=0.05)
    queue.put(b"1")
    queue.put(b"2")
    await eventually(lambda: collector.batches == [[b"1", b"2"]])
    assert collector.lost == 0


async def test_a_refused_batch_is_sent_again_with_doubling_delays() -> None:
    collector = Collector(refuse=4)
    queue = collector.queue(max_batch_size=1, initial_retry_delay=0.02, max_retry_delay=0.05)
    queue.put(b"1")
    await eventually(lambda: collector.batches == [[b"1"]])
    gaps = [
        later - earlier for earlier, later in zip(collector.attempts, collector.attempts[1:], strict=False)
    ]
    assert [
        round(gap, 2) >= expected for gap, expected in zip(gaps, (0.02, 0.04, 0.05, 0.05), strict=True)
    ] == [True] * 4
    assert collector.lost == 0


async def test_a_batch_is_given_up_after_max_retry_time() -> None:
    collector = Collector(refuse=10_000)
    queue = collector.queue(max_batch_size=1, initial_retry_delay=0.01, max_retry_time=0.1)
    queue.put(b"1")
    await eventually(lambda: collector.lost == 1)
    collector.refuse = 0
    queue.put(b"2")
    await eventually(lambda: collector.batches == [[b"2"]])


async def test_a_full_queue_drops_the_oldest_and_counts_them() -> None:
    collector = Collector(refuse=10_000)
    queue = collector.queue(max_batch_size=2, max_entries=3, initial_retry_delay=0.01)
    for number in range(10):
        queue.put(b"%d" % number)
        await asyncio.sleep(0)
    assert (collector.lost, len(queue)) == (7, 3)
    collector.refuse = 0
    await eventually(lambda: sum(len(batch) for batch in collector.batches) >= 3)
    assert {entry for batch in collector.batches for entry in batch} >= {b"7", b"8", b"9"}
    assert collector.lost == 7


async def test_bytes_are_a_limit_too() -> None:
    collector = Collector(refuse=10_000)
    queue = collector.queue(max_bytes=10, initial_retry_delay=0.01)
    queue.put(b"12345678")
    queue.put(b"abcd")
    queue.put(b"x" * 11)
    assert (collector.lost, len(queue)) == (2, 1)
    collector.refuse = 0
    await queue.flush(1)


async def test_what_cannot_be_sent_before_the_end_is_counted_as_lost() -> None:
    collector = Collector(refuse=10_000)
    queue = collector.queue(max_batch_size=10)
    queue.put(b"1")
    queue.put(b"2")
    await queue.flush(0.05)
    assert collector.lost == 2
