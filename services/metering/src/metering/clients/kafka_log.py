"""The request log topic, written to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from common.ids import new_id
from common.kafka.cluster import MESSAGE_BYTES, BrokerReplaced, ClusterWatch, ensure_topics
from common.log import get_logger
from common.steps import Passed, unwatched
from common.tasks import was_cancelled
from metering.domain.errors import LogUnavailable

TOPIC = "gateway.requests.v1"
_CLOSE_SECONDS = 5.0
_RETENTION_MS = str(7 * 24 * 3600 * 1000)
_FAILURES = (KafkaError, OSError, AssertionError, ValueError, BrokerReplaced, asyncio.CancelledError)
log = get_logger()


class SharedLook:
    """One look at a time: whoever asks is answered by a look that began after the question, and many share one."""

    def __init__(self, look: Callable[[], Awaitable[None]]) -> None:
        self._look, self._one_at_a_time = look, asyncio.Lock()
        self._next: asyncio.Task[None] | None = None

    async def after_now(self) -> None:
        """A look that had not begun yet is over; raises what it raised."""
        if self._next is None:
            self._next = asyncio.create_task(self._begin())
            # Seen here: everyone who waited may have been cancelled meanwhile.
            self._next.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._next)

    async def _begin(self) -> None:
        async with self._one_at_a_time:
            self._next = None  # who asks from here on comes too late for this one
            await self._look()


@dataclass(frozen=True, slots=True)
class _Connection:
    cluster: ClusterWatch
    same_cluster: SharedLook
    producer: AIOKafkaProducer
    stack: AsyncExitStack


class KafkaLog:
    """Appends records and knows when they are safe. Connects when first used, and anew after a failure.

    The producer need not be idempotent: a record that comes twice is told by the request ids in it. `passed` is told
    each step that lies behind, so that a test can end the process between any two.
    """

    def __init__(
        self, *, bootstrap_servers: str, topic_prefix: str, partitions: int, ack_timeout_seconds: float,
        pending_limit_bytes: int,
    ) -> None:  # fmt: skip
        self.topic = topic_prefix + TOPIC
        self._servers, self._partitions = bootstrap_servers, partitions
        self._timeout_seconds, self._pending_limit = ack_timeout_seconds, pending_limit_bytes
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()
        self._pending_bytes = 0
        self.passed: Passed = unwatched

    async def partitions(self) -> int:
        """How many partitions the topic has; it is made when it is not there. Raises LogUnavailable."""
        async with self._connected() as connection:
            return len(await connection.producer.partitions_for(self.topic))

    async def cluster_id(self) -> str:
        """Which cluster the log is in: another one later holds nothing of what was appended. Raises LogUnavailable."""
        async with self._connected() as connection:
            await connection.same_cluster.after_now()
            return connection.cluster.id

    async def append(self, records: Sequence[tuple[int, bytes, int]]) -> None:
        """Every (partition, value, entries in it) is acknowledged by all in-sync replicas. Raises LogUnavailable."""
        size = sum(len(value) for _, value, _ in records)
        if self._pending_bytes + size > self._pending_limit:
            raise LogUnavailable("Too much is waiting for Kafka already; send it again in a moment.")
        self._pending_bytes += size
        try:
            async with self._connected() as connection:
                self.passed("connected")
                batch = new_id().bytes
                acks = [
                    await connection.producer.send(
                        self.topic, value, partition=partition,
                        headers=[("batch", batch), ("count", str(count).encode())],
                    )
                    for partition, value, count in records
                ]  # fmt: skip
                self.passed("sent")
                await asyncio.gather(*acks)
                self.passed("acknowledged")
                # A broker that came back empty acknowledges records of a topic that it does not list (the embedded
                # one does), and nobody would read them: such an acknowledgement is none.
                await connection.same_cluster.after_now()
        finally:
            self._pending_bytes -= size

    async def close(self) -> None:
        """The connection is closed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await _close(connection)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[_Connection]:
        """A connection, for as long as Kafka may take; LogUnavailable, and a new one next time, when it fails."""
        connection = None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                yield (connection := await self._connect())
        except _FAILURES as error:
            if isinstance(error, asyncio.CancelledError) and was_cancelled():
                raise
            log.warning("request_log.unavailable", error=f"{type(error).__name__}: {error}")
            if connection is not None and connection is self._connection:
                self._drop(connection)
            raise LogUnavailable(
                "Kafka did not acknowledge; nothing counts as taken, send it again."
            ) from error

    async def _connect(self) -> _Connection:
        async with self._connecting:
            if self._connection is None:
                async with AsyncExitStack() as stack:
                    cluster = await stack.enter_async_context(ClusterWatch(self._servers))
                    await ensure_request_log(self._servers, self.topic, partitions=self._partitions)
                    producer = AIOKafkaProducer(
                        bootstrap_servers=self._servers, acks="all", max_request_size=MESSAGE_BYTES,
                        request_timeout_ms=int(self._timeout_seconds * 1000),
                    )  # fmt: skip
                    stack.push_async_callback(producer.stop)
                    await producer.start()
                    self._connection = _Connection(
                        cluster, SharedLook(cluster.check), producer, stack.pop_all()
                    )
            return self._connection

    def _drop(self, connection: _Connection) -> None:
        """Connect anew next time: a broker may have come back without the topic."""
        self._connection = None
        closing = asyncio.ensure_future(_close(connection))
        _CLOSING.add(closing)
        closing.add_done_callback(_CLOSING.discard)


# Tasks that nobody awaits would otherwise be collected in mid-air.
_CLOSING: set[asyncio.Future[None]] = set()


async def _close(connection: _Connection) -> None:
    with contextlib.suppress(KafkaError, OSError):
        await asyncio.wait_for(connection.stack.aclose(), _CLOSE_SECONDS)


async def ensure_request_log(bootstrap_servers: str, topic: str, *, partitions: int) -> None:
    """The topic of requests exists; one that is made here keeps its records for a week."""
    await ensure_topics(
        bootstrap_servers,
        [topic],
        partitions=partitions,
        compacted=False,
        extra={"retention.ms": _RETENTION_MS},
    )
