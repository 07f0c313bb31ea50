"""The consumer loop on a real broker protocol and real PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from common.clock import SystemClock
from common.db import Database
from common.kafka.cluster import ClusterWatch
from common.kafka.positions import LogReplaced
from metering.clients.kafka_log import KafkaLog
from metering.clients.log_witness import LogWitness
from metering.consumers.requests import LogTruncated, Reading, RequestConsumer, consume_requests
from metering.domain.errors import Fenced
from metering.settings import Settings, kafka_log_of
from metering.usecases.ingest_entries import ingest_entries
from metering.worker import reading_of
from tests.metering.factories import NAMESPACE, an_entry
from tests.metering.recording import count, one, sums
from tests.support.broker import Broker

CLOCK = SystemClock()
OF_EACH_PARTITION = [f"01930000-0000-7000-8000-0000000000{n:02x}" for n in range(16, 32)]


@pytest.fixture
async def settings(make_settings: Callable[..., Settings], kafka: str) -> Settings:
    return make_settings(KAFKA_BOOTSTRAP_SERVERS=kafka, batch_seconds=0.1)


@pytest.fixture
async def kafka_log(settings: Settings) -> AsyncIterator[KafkaLog]:
    log = kafka_log_of(settings)
    yield log
    await log.close()


async def post(db: Database, log: KafkaLog, *numbers: int) -> None:
    """Entries of now, spread over subscriptions and so over partitions."""
    now = CLOCK.now()
    entries = [
        an_entry(n, at=now.replace(microsecond=0), subscription=OF_EACH_PARTITION[n % 16]) for n in numbers
    ]
    remembered = [_first_seen.setdefault(n, e) for n, e in zip(numbers, entries, strict=True)]
    result = await ingest_entries(
        db, log, json.dumps(remembered).encode(), namespace=NAMESPACE, source="http", now=now
    )
    assert result.accepted == len(numbers)


_first_seen: dict[int, Any] = {}  # a repeat is the same entry, byte for byte, as a gateway's retry is


@asynccontextmanager
async def consuming(db: Database, reading: Reading, **more: Any) -> AsyncIterator[asyncio.Task[None]]:
    stop = asyncio.Event()
    task = asyncio.create_task(consume_requests(reading, db=db, clock=CLOCK, stop=stop, **more))
    try:
        yield task
    finally:
        stop.set()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await asyncio.wait_for(task, 15)


async def until(
    condition: Callable[[], Any], *, task: asyncio.Task[None] | None = None, seconds: float = 30
) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            if task is not None and task.done():
                task.result()
            await asyncio.sleep(0.05)


async def test_every_posted_call_is_recorded_once_over_all_partitions(
    worker_db: Database, kafka_log: KafkaLog, settings: Settings
) -> None:
    await post(worker_db, kafka_log, *range(1000, 1200))
    async with consuming(worker_db, reading_of(settings)) as task:
        await until(lambda: _has(worker_db, 200), task=task)
        await post(worker_db, kafka_log, *range(1100, 1250))  # half of it again, in another cut
        await until(lambda: _has(worker_db, 250), task=task)
        await until(lambda: _caught_up(worker_db, settings), task=task)
    assert await sums(worker_db) == (250, 250, 250, 250)
    row = await one(
        worker_db,
        "SELECT count(*) AS partitions, min(watermark_at) AS mark, sum(next_offset) AS n FROM kafka_offset",
    )
    assert row.partitions == 4
    assert (CLOCK.now() - row.mark).total_seconds() < 30


async def test_two_share_the_partitions_and_who_is_left_takes_them_all(
    worker_db: Database, kafka_log: KafkaLog, settings: Settings
) -> None:
    async with AsyncExitStack() as both:
        read: dict[str, int] = {"first": 0, "second": 0}

        def counting(name: str) -> Callable[[str], None]:
            def passed(step: str) -> None:
                read[name] += step == "committed"

            return passed

        first = await both.enter_async_context(
            consuming(worker_db, reading_of(settings), passed=counting("first"))
        )
        numbers = iter(range(5_000, 9_000))

        async def posted_until(done: Callable[[], bool]) -> None:
            async def post_some() -> bool:
                await post(worker_db, kafka_log, *itertools.islice(numbers, 16))
                return done()

            await until(post_some, task=first)

        await posted_until(lambda: read["first"] > 0)
        async with consuming(worker_db, reading_of(settings), passed=counting("second")):
            before = read["first"]
            await posted_until(lambda: read["second"] > 2 and read["first"] > before + 2)
        posted = next(numbers) - 5_000
        await until(lambda: _has(worker_db, posted), task=first)
    assert await sums(worker_db) == (posted, posted, posted, posted)


async def _has(db: Database, calls: int) -> bool:
    return await count(db, "api_requests_log") >= calls


async def _caught_up(db: Database, settings: Settings) -> bool:
    row = await one(db, "SELECT min(watermark_at) AS mark FROM kafka_offset")
    return row.mark is not None and (CLOCK.now() - row.mark).total_seconds() < 2


async def test_killed_between_any_two_steps_it_goes_on_from_the_database(
    worker_db: Database, kafka_log: KafkaLog, settings: Settings
) -> None:
    steps = ["fence", "log", "deltas", "late months", "quotas", "side tables", "offsets"]
    for number, step in enumerate(steps):
        await post(worker_db, kafka_log, *range(2000 + 10 * number, 2020 + 10 * number))

        def die(passed: str, at: str = step) -> None:
            if passed == at:
                raise RuntimeError(at)

        async with consuming(worker_db, reading_of(settings), passed=die) as task:
            with pytest.raises(RuntimeError, match=step):
                await asyncio.wait_for(task, 20)
    async with consuming(worker_db, reading_of(settings)) as task:
        await until(lambda: _has(worker_db, 80), task=task)
        await until(lambda: _caught_up(worker_db, settings), task=task)
    assert await sums(worker_db) == (80, 80, 80, 80)


async def test_a_commit_whose_answer_is_lost_is_found_out_by_the_fence(
    worker_db: Database, kafka_log: KafkaLog, settings: Settings
) -> None:
    """The connection dies right after COMMIT: the consumer believes it failed, the database knows better."""
    await post(worker_db, kafka_log, 3001, 3002)
    committed = asyncio.Event()

    class Forgetful(Database):
        @asynccontextmanager
        async def begin(self, scope: Any = None) -> AsyncIterator[Any]:
            async with super().begin(scope) as session:
                yield session
            if not committed.is_set() and await count(worker_db, "api_requests_log"):
                committed.set()
                raise ConnectionError("the answer to COMMIT never came")

    forgetful = Forgetful(worker_db.url, name="forgetful")
    async with consuming(forgetful, reading_of(settings)) as task:
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(task, 20)
    async with consuming(worker_db, reading_of(settings)) as task:
        await until(lambda: _has(worker_db, 2), task=task)
        await until(lambda: _caught_up(worker_db, settings), task=task)
    assert await sums(worker_db) == (2, 2, 2, 2)
    await forgetful.dispose()


async def test_of_two_consumers_one_reads_and_the_other_takes_over(
    worker_db: Database, kafka_log: KafkaLog, settings: Settings
) -> None:
    async with consuming(worker_db, reading_of(settings)) as first:
        await post(worker_db, kafka_log, *range(4000, 4020))
        await until(lambda: _has(worker_db, 20), task=first)
        async with consuming(worker_db, reading_of(settings)) as second:
            first.cancel()
            await post(worker_db, kafka_log, *range(4010, 4040))
            await until(lambda: _has(worker_db, 40), task=second)
    assert await sums(worker_db) == (40, 40, 40, 40)


async def test_offsets_moved_behind_its_back_stop_a_consumer(
    worker_db: Database, kafka_log: KafkaLog, settings: Settings
) -> None:
    await post(worker_db, kafka_log, 5001)
    async with consuming(worker_db, reading_of(settings)) as task:
        await until(lambda: _has(worker_db, 1), task=task)
        await one(worker_db, "UPDATE kafka_offset SET next_offset = next_offset + 5 RETURNING 1")
        await post(worker_db, kafka_log, *range(5001, 5017))
        with pytest.raises((Fenced, LogTruncated)):
            await asyncio.wait_for(task, 20)
    assert await count(worker_db, "api_requests_log") == 1


async def test_another_log_under_the_same_offsets_halts_it(
    worker_db: Database, kafka_log: KafkaLog, settings: Settings
) -> None:
    await post(worker_db, kafka_log, *range(6000, 6016))
    async with consuming(worker_db, reading_of(settings)) as task:
        await until(lambda: _has(worker_db, 16), task=task)
    await one(worker_db, "UPDATE kafka_offset SET last_digest = '\\x00' WHERE next_offset > 0 RETURNING 1")
    await post(worker_db, kafka_log, 6100)
    async with consuming(worker_db, reading_of(settings)) as task:
        with pytest.raises(LogReplaced):
            await asyncio.wait_for(task, 30)
    assert await count(worker_db, "api_requests_log") == 16


async def test_a_broker_that_lost_its_log_is_noticed_and_read_from_its_start(
    worker_db: Database, own_broker: Broker, make_settings: Callable[..., Settings]
) -> None:
    settings = make_settings(KAFKA_BOOTSTRAP_SERVERS=own_broker.address, batch_seconds=0.1)
    log = kafka_log_of(settings)
    await post(worker_db, log, *range(7000, 7040))
    async with consuming(worker_db, reading_of(settings)) as task:
        await until(lambda: _has(worker_db, 40), task=task)
        await own_broker.kill()
        await own_broker.start()
        # aiokafka cancels its own futures when a broker goes: the worker takes that for a failure too (common.tasks).
        with pytest.raises((Exception, asyncio.CancelledError)):
            await asyncio.wait_for(asyncio.shield(task), 30)
    before = (await one(worker_db, "SELECT min(cluster_id) AS id FROM kafka_offset")).id
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(Exception):
                await post(worker_db, log, *range(7020, 7060))
                break
            await asyncio.sleep(0.2)
    async with consuming(worker_db, reading_of(settings)) as task:
        await until(lambda: _has(worker_db, 60), task=task)
        await until(lambda: _caught_up(worker_db, settings), task=task)
    after = (await one(worker_db, "SELECT min(cluster_id) AS id FROM kafka_offset")).id
    assert after != before
    assert await sums(worker_db) == (60, 60, 60, 60)
    await log.close()


async def test_another_log_that_is_longer_than_what_was_read_is_noticed_by_who_was_reading(
    worker_db: Database, own_broker: Broker, make_settings: Callable[..., Settings]
) -> None:
    settings = make_settings(KAFKA_BOOTSTRAP_SERVERS=own_broker.address, batch_seconds=0.1)
    reading, subscriptions = reading_of(settings), len(OF_EACH_PARTITION)
    witness, open_ones = LogWitness(reading.bootstrap_servers, reading.topic), AsyncExitStack()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=reading.bootstrap_servers, enable_auto_commit=False, auto_offset_reset="none"
    )
    for posts, start in ((2, 8000), (6, 8500)):
        log = kafka_log_of(settings)
        for first in range(start, start + posts * subscriptions, subscriptions):
            await post(worker_db, log, *range(first, first + subscriptions))
        await log.close()
        if start == 8000:
            await open_ones.enter_async_context(witness)
            await consumer.start()
            async with ClusterWatch(reading.bootstrap_servers) as cluster:
                reader = RequestConsumer(worker_db, CLOCK, reading, consumer, cluster.id, witness=witness)
            await reader.begin(range(4))
            while await count(worker_db, "api_requests_log") < 2 * subscriptions:
                await reader.step()
            await reader.check_log(range(4))
            await own_broker.kill()
            await own_broker.start(cluster_id=reader.cluster_id)
    with pytest.raises(LogTruncated, match="is not the log"):
        async with asyncio.timeout(30):
            while True:
                assert await reader.step() == 0  # nothing of the other log is counted
    await consumer.stop()
    await open_ones.aclose()
