"""The request log topic, written to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from common.ids import new_id
from common.kafka.cluster import MESSAGE_BYTES, ensure_topics
from common.log import get_logger
from metering.domain.errors import LogUnavailable

TOPIC = "gateway.requests.v1"
_RETENTION_MS = str(7 * 24 * 3600 * 1000)
log = get_logger()


class _LogBeganAnew(Exception):
    """An acknowledged offset is not above those before it."""


class KafkaLog:
    """Appends records and knows when they are safe. Connects when first used, and anew after a failure.

    The producer need not be idempotent: a record that comes twice is told by the request ids in it.
    """

    def __init__(
        self, *, bootstrap_servers: str, topic_prefix: str, partitions: int, ack_timeout_seconds: float,
        pending_limit_bytes: int,
    ) -> None:  # fmt: skip
        self.topic = topic_prefix + TOPIC
        self._servers, self._partitions = bootstrap_servers, partitions
        self._timeout_seconds, self._pending_limit = ack_timeout_seconds, pending_limit_bytes
        self._producer: AIOKafkaProducer | None = None
        self._connecting = asyncio.Lock()
        self._pending_bytes = 0
        self._acknowledged: dict[int, int] = {}  # the last offset of each partition

    async def partitions(self) -> int:
        """How many partitions the topic has; it is made when it is not there. Raises LogUnavailable."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                producer = await self._connected()
                return len(await producer.partitions_for(self.topic))
        except (KafkaError, OSError, TimeoutError, ValueError) as error:
            raise await self._failed(error) from error

    async def append(self, records: Sequence[tuple[int, bytes, int]]) -> None:
        """Every (partition, value, entries in it) is acknowledged by all in-sync replicas. Raises LogUnavailable."""
        size = sum(len(value) for _, value, _ in records)
        if self._pending_bytes + size > self._pending_limit:
            raise LogUnavailable("Too much is waiting for Kafka already; send it again in a moment.")
        self._pending_bytes += size
        try:
            async with asyncio.timeout(self._timeout_seconds):
                producer = await self._connected()
                batch = new_id().bytes
                before = dict(self._acknowledged)
                acks = [
                    await producer.send(
                        self.topic, value, partition=partition,
                        headers=[("batch", batch), ("count", str(count).encode())],
                    )
                    for partition, value, count in records
                ]  # fmt: skip
                self._check(before, await asyncio.gather(*acks))
        except (KafkaError, OSError, TimeoutError, AssertionError, _LogBeganAnew) as error:
            raise await self._failed(error) from error
        finally:
            self._pending_bytes -= size

    async def close(self) -> None:
        """The connection is closed."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(producer.stop(), self._timeout_seconds)

    def _check(self, before: Mapping[int, int], acks: Sequence[RecordMetadata]) -> None:
        """Offsets only rise. A broker that came back empty acknowledges records of a topic that it does not list (the
        embedded one does), and nobody would read them: such an acknowledgement is none.
        """
        for ack in acks:
            if 0 <= ack.offset <= before.get(ack.partition, -1):
                raise _LogBeganAnew(f"{self.topic}[{ack.partition}] is at {ack.offset} again")
            self._acknowledged[ack.partition] = max(ack.offset, self._acknowledged.get(ack.partition, -1))

    async def _connected(self) -> AIOKafkaProducer:
        async with self._connecting:
            if self._producer is None:
                await ensure_request_log(self._servers, self.topic, partitions=self._partitions)
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._servers, acks="all", max_request_size=MESSAGE_BYTES,
                    request_timeout_ms=int(self._timeout_seconds * 1000),
                )  # fmt: skip
                await producer.start()
                self._producer, self._acknowledged = producer, {}
            return self._producer

    async def _failed(self, error: Exception) -> LogUnavailable:
        log.warning("request_log.unavailable", error=f"{type(error).__name__}: {error}")
        # A broker that came back without the topic is met again by connecting anew.
        producer, self._producer = self._producer, None
        if producer is not None:
            stopping = asyncio.ensure_future(_stop(producer))
            _STOPPING.add(stopping)
            stopping.add_done_callback(_STOPPING.discard)
        return LogUnavailable("Kafka did not acknowledge; nothing counts as taken, send it again.")


# Tasks that nobody awaits would otherwise be collected in mid-air.
_STOPPING: set[asyncio.Future[None]] = set()


async def _stop(producer: AIOKafkaProducer) -> None:
    with contextlib.suppress(KafkaError, OSError, TimeoutError):
        await asyncio.wait_for(producer.stop(), 5)


async def ensure_request_log(bootstrap_servers: str, topic: str, *, partitions: int) -> None:
    """The topic of requests exists; one that is made here keeps its records for a week."""
    await ensure_topics(
        bootstrap_servers,
        [topic],
        partitions=partitions,
        compacted=False,
        extra={"retention.ms": _RETENTION_MS},
    )
