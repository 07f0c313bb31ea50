"""Kong's queue for log entries: batches, retries with doubling delays, the oldest dropped when full."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from devstack.kong.fields import Json

Send = Callable[[Sequence[bytes]], Awaitable[str | None]]  # what went wrong, or None


@dataclass(frozen=True, slots=True)
class QueueSettings:
    max_batch_size: int = 1
    max_coalescing_delay: float = 1.0
    max_entries: int = 10_000
    max_bytes: int | None = None
    max_retry_time: float = 60.0
    initial_retry_delay: float = 0.01
    max_retry_delay: float = 60.0

    @classmethod
    def of(cls, config: Json) -> QueueSettings:
        names = cls.__slots__
        return cls(**{name: config[name] for name in names if config.get(name) is not None})


class LogQueue:
    """Entries in order of arrival; one batch is under way at a time."""

    def __init__(
        self, name: str, settings: QueueSettings, send: Send, *, on_lost: Callable[[int], None]
    ) -> None:
        self.name = name
        self.settings = settings
        self.send = send
        self._on_lost = on_lost
        self._entries: deque[bytes] = deque()
        self._bytes = 0
        self._in_flight = 0
        self._arrived = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def idle(self) -> bool:
        return not self._entries and (self._task is None or self._task.done())

    def put(self, entry: bytes) -> None:
        """Queue an entry, at the price of the oldest ones when there is no room."""
        settings = self.settings
        if settings.max_bytes is not None and len(entry) > settings.max_bytes:
            self._lose(1, "an entry is larger than max_bytes")
            return
        dropped = 0
        while self._entries and self._is_full(len(entry)):
            self._drop_oldest()
            dropped += 1
        if dropped:
            self._lose(dropped, "queue full, dropping old entries until processing is successful again")
        self._entries.append(entry)
        self._bytes += len(entry)
        self._arrived.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    def _is_full(self, size: int) -> bool:
        limit = self.settings.max_bytes
        too_many = len(self._entries) >= self.settings.max_entries
        return too_many or (limit is not None and self._bytes + size > limit)

    def _drop_oldest(self) -> None:
        self._bytes -= len(self._entries.popleft())
        self._in_flight = max(0, self._in_flight - 1)

    def _lose(self, count: int, why: str) -> None:
        print(f"queue {self.name}: {why} ({count} lost)", file=sys.stderr, flush=True)
        self._on_lost(count)

    async def _run(self) -> None:
        while self._entries:
            await self._coalesce()
            await self._deliver()

    async def _coalesce(self) -> None:
        """Wait for a full batch, for max_coalescing_delay at most."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self.settings.max_coalescing_delay
        while len(self._entries) < self.settings.max_batch_size and not self._closing.is_set():
            self._arrived.clear()
            left = until - loop.time()
            if left <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._arrived.wait()

    async def _deliver(self) -> None:
        """Send one batch until it is taken or max_retry_time has passed."""
        loop = asyncio.get_running_loop()
        count = min(len(self._entries), self.settings.max_batch_size)
        started, retries = loop.time(), 0
        while (problem := await self.send(self._take(count))) is not None:
            if loop.time() - started > self.settings.max_retry_time:
                self._lose(self._in_flight, f"giving up after {retries} retries: {problem}")
                break
            print(f"queue {self.name}: {problem}", file=sys.stderr, flush=True)
            delay = min(self.settings.max_retry_delay, 2**retries * self.settings.initial_retry_delay)
            await asyncio.sleep(delay)
            retries += 1
        for _ in range(self._in_flight):  # fewer than were sent when some were dropped meanwhile
            self._bytes -= len(self._entries.popleft())
        self._in_flight = 0

    def _take(self, count: int) -> list[bytes]:
        """The oldest entries as they are now: a repeated try holds none that were dropped meanwhile."""
        batch = list(itertools.islice(self._entries, count))
        self._in_flight = len(batch)
        return batch

    async def flush(self, seconds: float) -> None:
        """Send what is held without waiting for full batches; give up after `seconds`."""
        self._closing.set()
        self._arrived.set()
        if self._task is not None and not self._task.done():
            await asyncio.wait([self._task], timeout=seconds)
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._entries:
            self._lose(len(self._entries), "shutting down with entries unsent")
