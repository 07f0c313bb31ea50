"""The relay: sends what the outbox holds, in order, and marks it sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg
from aiokafka import AIOKafkaProducer
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from common.clock import Clock
from common.db import Database
from common.events import Event
from common.kafka.cluster import MESSAGE_BYTES, ClusterWatch, ensure_topics
from common.log import get_logger
from common.metrics import BROKER_REPLACED, OUTBOX_SENT, OUTBOX_WAITING
from common.settings import ServiceSettings
from common.steps import Passed, unwatched

Republish = Callable[[AsyncSession, datetime], Awaitable[int]]
_BATCH = 500
_IDLE_SECONDS = 1.0
_KEEP_SENT = timedelta(days=7)
_KEEP_IDEMPOTENCY_KEYS = timedelta(days=2)
log = get_logger()

_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtext('outbox relay'))")
_OLDEST = text(
    "SELECT id, topic, key, headers, payload FROM outbox WHERE sent_at IS NULL ORDER BY id LIMIT :limit"
)
_MARK = text("UPDATE outbox SET sent_at = :now WHERE id = ANY(:ids)")
_WAITING = text("SELECT count(*) FROM outbox WHERE sent_at IS NULL")
_PRUNE = text("DELETE FROM outbox WHERE sent_at < :before")
_PRUNE_KEYS = text("DELETE FROM idempotency_key WHERE created_at < :before")
_STORED_CLUSTER = text("SELECT cluster_id FROM relay_state WHERE name = 'outbox' FOR UPDATE")
_STORE_CLUSTER = text("""
    INSERT INTO relay_state (name, cluster_id, updated_at) VALUES ('outbox', :cluster, :now)
    ON CONFLICT (name) DO UPDATE SET cluster_id = excluded.cluster_id, updated_at = excluded.updated_at""")


@dataclass(frozen=True, slots=True)
class Relay:
    """Sends one service's outbox to Kafka. `passed` is told each step that lies behind it."""

    db: Database
    producer: AIOKafkaProducer
    clock: Clock
    service: str
    topic_prefix: str = ""
    passed: Passed = unwatched

    async def send_batch(self, *, limit: int = _BATCH) -> int:
        """Send the oldest unsent events in order and return how many. May send twice after a crash; never drops."""
        async with (
            self.db.begin() as session
        ):  # held across the send on purpose: the lock is what keeps the order
            if not await session.scalar(_TRY_LOCK):
                return 0
            rows = (await session.execute(_OLDEST, {"limit": limit})).all()
            if not rows:
                return 0
            self.passed("read")
            acks = [
                await self.producer.send(
                    self.topic_prefix + row.topic, bytes(row.payload), key=row.key.encode(),
                    headers=[(name, value.encode()) for name, value in row.headers.items()],
                )
                for row in rows
            ]  # fmt: skip
            self.passed("sent")
            await asyncio.gather(*acks)
            self.passed("acknowledged")
            await session.execute(_MARK, {"now": self.clock.now(), "ids": [row.id for row in rows]})
            self.passed("marked")
        self.passed("committed")
        for row in rows:
            OUTBOX_SENT.labels(self.service, row.topic).inc()
        return len(rows)

    async def meet_cluster(self, cluster_id: str, republish: Republish) -> None:
        """Publish all state again when the broker is another cluster than last time: its log may lack what we sent."""
        now = self.clock.now()
        async with self.db.begin() as session:
            stored = await session.scalar(_STORED_CLUSTER)
            if stored == cluster_id:
                return
            events = await republish(session, now) if stored is not None else 0
            await session.execute(_STORE_CLUSTER, {"cluster": cluster_id, "now": now})
        if stored is not None:
            BROKER_REPLACED.labels(self.service).inc()
            log.warning("broker.replaced", before=stored, now=cluster_id, events_published_again=events)

    async def tidy(self) -> None:
        """What is old enough is gone, of the sent events and idempotency keys; the waiting events are counted."""
        async with self.db.begin() as session:
            await session.execute(_PRUNE, {"before": self.clock.now() - _KEEP_SENT})
            await session.execute(_PRUNE_KEYS, {"before": self.clock.now() - _KEEP_IDEMPOTENCY_KEYS})
            OUTBOX_WAITING.labels(self.service).set(await session.scalar(_WAITING) or 0)


async def relay(
    *,
    db: Database,
    settings: ServiceSettings,
    clock: Clock,
    stop: asyncio.Event,
    service: str,
    republish: Republish,
    passed: Passed = unwatched,
) -> None:
    """Send the outbox until `stop` is set; raises when the broker or the database fails, to be run again."""
    servers = settings.kafka_bootstrap_servers
    async with _producer(servers) as producer, ClusterWatch(servers) as cluster, _listener(db) as wake:
        own = {
            event.topic
            for event in Event.published
            if event.topic.startswith(f"{service.replace('_', '-')}.")
        }
        await ensure_topics(servers, {settings.kafka_topic_prefix + topic for topic in own})
        worker = Relay(db, producer, clock, service, settings.kafka_topic_prefix, passed)
        await worker.meet_cluster(cluster.id, republish)
        while not stop.is_set():
            wake.clear()
            while await worker.send_batch():
                pass
            await _wait(wake, stop)
            if cluster.due:
                await cluster.check()
                await worker.tidy()


async def _wait(wake: asyncio.Event, stop: asyncio.Event) -> None:
    waiting = [asyncio.ensure_future(wake.wait()), asyncio.ensure_future(stop.wait())]
    try:
        await asyncio.wait(waiting, timeout=_IDLE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for future in waiting:
            future.cancel()


@asynccontextmanager
async def _producer(servers: str) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        bootstrap_servers=servers,
        acks="all",
        max_request_size=MESSAGE_BYTES,
        linger_ms=5,
        request_timeout_ms=10_000,
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def _listener(db: Database) -> AsyncIterator[asyncio.Event]:
    """An event that is set at each commit that put something into the outbox."""
    wake = asyncio.Event()

    def heard(*_: Any) -> None:
        wake.set()

    connection = await asyncpg.connect(db.url.replace("+asyncpg", ""), timeout=10)
    connection.add_termination_listener(heard)
    try:
        await connection.add_listener("outbox", heard)
        yield wake
    finally:
        await connection.close(timeout=5)
