"""Outbox → relay → broker → runner, on a real broker and a real database."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Self
from uuid import UUID

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from common import outbox
from common.db import Database
from common.events import Event, Incoming
from common.ids import new_id
from common.kafka.cluster import MESSAGE_BYTES
from common.kafka.dead_letters import PoisonMessage
from common.kafka.positions import LogReplaced
from common.kafka.runner import Fenced, Runner, Subscription, check_log, consume
from common.outbox.publish import EventTooLarge
from common.outbox.relay import Relay, relay
from common.settings import ServiceSettings
from tests.support.broker import Broker
from tests.support.clock import FixedClock

TOPIC = "sample.note.v1"


@dataclass(frozen=True)
class Record:
    value: bytes
    offset: int
    topic: str = TOPIC
    partition: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


class NoteChanged(Event, topic=TOPIC, type="note.changed", key="note_id"):
    note_id: UUID
    body: str

    @classmethod
    def example(cls) -> Self:
        return cls(note_id=new_id(), body="hello", version=1)


class NoteEvent(Incoming, topic=TOPIC):
    note_id: UUID
    body: str


async def on_note(session: AsyncSession, event: NoteEvent, *, now: datetime) -> None:
    if event.body == "poison":
        raise PoisonMessage("this body can never be handled")
    # Adds instead of putting, so that a record handled twice shows.
    await session.execute(
        text("""INSERT INTO note VALUES (:id, :id, :body, 1)
                ON CONFLICT (id) DO UPDATE SET version = note.version + 1"""),
        {"id": event.note_id, "body": event.body},
    )


async def notes(db: Database) -> dict[str, int]:
    async with db.begin() as session:
        return {
            row.body: row.version for row in await session.execute(text("SELECT body, version FROM note"))
        }


async def wait_for(condition: Callable[[], Awaitable[bool]], *, seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


async def publish(db: Database, clock: FixedClock, *bodies: str) -> None:
    async with db.begin() as session:
        for body in bodies:
            await outbox.publish(
                session, NoteChanged(note_id=new_id(), body=body, version=1), now=clock.now()
            )


async def nothing(session: AsyncSession, now: datetime) -> int:
    return 0


@asynccontextmanager
async def running(*loops: Callable[[asyncio.Event], Awaitable[None]]) -> AsyncIterator[None]:
    stop = asyncio.Event()
    tasks = [asyncio.ensure_future(loop(stop)) for loop in loops]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


def relaying(
    db: Database, settings: ServiceSettings, clock: FixedClock
) -> Callable[[asyncio.Event], Awaitable[None]]:
    return lambda stop: relay(
        db=db, settings=settings, clock=clock, stop=stop, service="sample", republish=nothing
    )


def consuming(
    db: Database, settings: ServiceSettings, clock: FixedClock
) -> Callable[[asyncio.Event], Awaitable[None]]:
    return lambda stop: consume(
        [Subscription(NoteEvent, on_note)], db=db, settings=settings, clock=clock, stop=stop, service="sample"
    )


async def test_an_event_takes_effect_once_and_only_if_its_transaction_committed(
    kafka: str, worker_db: Database, settings: ServiceSettings, clock: FixedClock
) -> None:
    await publish(worker_db, clock, "kept")
    with pytest.raises(RuntimeError):
        async with worker_db.begin() as session:
            await outbox.publish(
                session, NoteChanged(note_id=new_id(), body="lost", version=1), now=clock.now()
            )
            raise RuntimeError("rolled back")
    async with running(relaying(worker_db, settings, clock), consuming(worker_db, settings, clock)):
        await wait_for(lambda: _has(worker_db, "kept"))
        await publish(worker_db, clock, "later")
        await wait_for(lambda: _has(worker_db, "later"))
    assert await notes(worker_db) == {"kept": 1, "later": 1}


async def _has(db: Database, body: str) -> bool:
    return body in await notes(db)


async def test_a_relay_killed_between_send_and_mark_sends_twice_and_the_effect_is_once(
    kafka: str, worker_db: Database, settings: ServiceSettings, clock: FixedClock
) -> None:
    await publish(worker_db, clock, "twice")
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    sender = Relay(worker_db, producer, clock, "sample", settings.kafka_topic_prefix)
    assert await sender.send_batch() == 1
    async with worker_db.begin() as session:
        await session.execute(text("UPDATE outbox SET sent_at = NULL"))  # as if it had died before the commit
    assert await sender.send_batch() == 1
    await producer.stop()
    async with running(consuming(worker_db, settings, clock)):
        await wait_for(lambda: _outcomes(worker_db, 2))
    assert await notes(worker_db) == {"twice": 1}


async def _outcomes(db: Database, records: int) -> bool:
    async with db.begin() as session:
        found = await session.scalar(text("SELECT coalesce(sum(next_offset), 0) FROM kafka_offset"))
    return bool(found == records)


async def test_an_event_that_no_message_holds_is_refused_before_it_blocks_the_others(
    worker_db: Database, clock: FixedClock
) -> None:
    with pytest.raises(EventTooLarge, match="split it"):
        await publish(worker_db, clock, "small", "x" * MESSAGE_BYTES)
    async with worker_db.begin() as session:
        assert await session.scalar(text("SELECT count(*) FROM outbox")) == 0


async def test_poison_is_parked_redacted_and_the_partition_goes_on(
    kafka: str, worker_db: Database, settings: ServiceSettings, clock: FixedClock
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    topic = settings.kafka_topic_prefix + TOPIC
    secret = "mk_live_" + "a" * 49
    good = NoteChanged(note_id=new_id(), body="good", version=1).model_dump_json()
    poison = NoteChanged(note_id=new_id(), body="poison", version=1).model_dump_json()
    unstorable = NoteChanged(note_id=new_id(), body="NUL: \x00", version=1).model_dump_json()
    for value in (f'{{"key": "{secret}"', poison, "\x00", unstorable, good):
        await producer.send_and_wait(topic, value.encode(), partition=0)
    await producer.stop()
    async with running(consuming(worker_db, settings, clock)):
        await wait_for(lambda: _has(worker_db, "good"))
    async with worker_db.begin() as session:
        parked = (await session.execute(text("SELECT reason, payload FROM dead_letter ORDER BY id"))).all()
    assert len(parked) == 4
    assert secret not in str(parked)
    assert await notes(worker_db) == {"good": 1}


async def test_a_consumer_that_was_overtaken_is_fenced_and_changes_nothing(
    worker_db: Database, clock: FixedClock
) -> None:
    partition = TopicPartition(TOPIC, 0)
    subscriptions = {TOPIC: Subscription(NoteEvent, on_note)}
    ahead = Runner(worker_db, clock, "sample", "c1", subscriptions, {partition: 0})
    behind = Runner(worker_db, clock, "sample", "c1", subscriptions, {partition: 0})
    await ahead.handle(partition, [_record("one", 0)], high_watermark=1)
    with pytest.raises(Fenced):
        await behind.handle(partition, [_record("one", 0)], high_watermark=1)
    assert await notes(worker_db) == {"one": 1}


async def test_a_broker_that_lost_everything_is_noticed_and_state_is_published_again(
    own_broker: Broker, worker_db: Database, settings: ServiceSettings, clock: FixedClock
) -> None:
    settings = settings.model_copy(update={"kafka_bootstrap_servers": own_broker.address})
    kept = NoteChanged(note_id=new_id(), body="again", version=2)

    async def republish(session: AsyncSession, now: datetime) -> int:
        await outbox.publish(session, kept, now=now)
        return 1

    async def relay_again(stop: asyncio.Event) -> None:
        await relay(
            db=worker_db, settings=settings, clock=clock, stop=stop, service="sample", republish=republish
        )

    await publish(worker_db, clock, "before")
    async with running(relay_again, consuming(worker_db, settings, clock)):
        await wait_for(lambda: _has(worker_db, "before"))
    await own_broker.kill()
    await own_broker.start()
    async with running(relay_again, consuming(worker_db, settings, clock)):
        await wait_for(lambda: _has(worker_db, "again"))
    assert await notes(worker_db) == {"before": 1, "again": 1}


async def test_the_same_cluster_with_another_log_halts_the_consumer_at_work_and_at_its_start(
    kafka: str, worker_db: Database, settings: ServiceSettings, clock: FixedClock
) -> None:
    await publish(worker_db, clock, "one")
    async with running(relaying(worker_db, settings, clock)):
        at_work = asyncio.ensure_future(consuming(worker_db, settings, clock)(asyncio.Event()))
        await wait_for(lambda: _has(worker_db, "one"))
        async with worker_db.begin() as session:
            await session.execute(text("UPDATE kafka_offset SET last_digest = '\\x00'"))
        # Whatever comes is of a partition that was read, or of one that was not, of which nothing is known.
        await publish(worker_db, clock, *(f"more {n}" for n in range(20)))
        with pytest.raises(LogReplaced):
            await asyncio.wait_for(at_work, 15)
    with pytest.raises(LogReplaced):
        await consuming(worker_db, settings, clock)(asyncio.Event())


async def test_a_topic_made_anew_that_grew_beyond_our_place_halts_the_reader_that_lives_through_it(
    own_broker: Broker, worker_db: Database, clock: FixedClock
) -> None:
    partition, cluster_id = TopicPartition(TOPIC, 0), secrets.token_hex(8)
    await own_broker.kill()
    await own_broker.start(cluster_id=cluster_id)
    one, two = _record("one", 0), _record("two", 1)
    await produce(own_broker, one, two)
    witness = AIOKafkaConsumer(
        bootstrap_servers=own_broker.address, enable_auto_commit=False, auto_offset_reset="none"
    )
    await witness.start()
    look = partial(check_log, witness, [partition], db=worker_db, cluster_id=cluster_id, service="sample")
    await look()  # nothing was handled yet
    runner = Runner(
        worker_db, clock, "sample", cluster_id, {TOPIC: Subscription(NoteEvent, on_note)}, {partition: 0}
    )
    await runner.handle(partition, [one, two], high_watermark=2)
    await look()
    await own_broker.kill()
    await own_broker.start(cluster_id=cluster_id)
    await produce(own_broker, *(_record(f"other {n}", n) for n in range(4)))
    with pytest.raises(LogReplaced):
        await look()
    await witness.stop()


async def produce(broker: Broker, *records: Record) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker.address)
    await producer.start()
    for record in records:
        await producer.send_and_wait(TOPIC, record.value, partition=0)
    await producer.stop()


def _record(body: str, offset: int) -> Record:
    return Record(NoteChanged(note_id=new_id(), body=body, version=1).model_dump_json().encode(), offset)
