"""One seed: the shipped consumer, quota counter and outbox relay on real PostgreSQL; all around them is a script."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from common.db import Database, Scope
from common.kafka.positions import LogReplaced
from common.outbox.relay import Relay
from common.steps import Passed
from devstack.faults.rows.counting import CONSUMER_STEPS
from devstack.faults.rows.events import RELAY_STEPS
from devstack.faults.traffic import Batch, Calls
from metering.clients.fast_reader import batch_reader
from metering.consumers.requests import LogTruncated, Reading, RequestConsumer
from metering.db.copies import SubscriptionCopy
from metering.domain.errors import Fenced
from metering.domain.parse_log import envelope, parse, partition_of
from metering.usecases.fold_deltas import fold_deltas
from metering.usecases.publish_usage import publish_usage
from metering.usecases.settle_hours import settle_hours
from metering.usecases.take_subscription import take_subscription
from tests.metering.factories import NAMESPACE
from tests.simulation.broker import TOPIC, Clock, Log, ScriptedConsumer, ScriptedProducer, nobody

_ACTIONS = {
    "ingest": 6,
    "step": 8,
    "assign": 1,
    "relay": 4,
    "publish": 3,
    "fold": 2,
    "quota": 1,
    "wait": 1,
    "raise": 1,
}
_PROVIDER = UUID(int=9)
MONTHS = {date(2026, month, 1) for month in (10, 11, 12)}


class BareDatabase(Database):
    """The shipped transactions without the look at a connection's health and the scope that a worker has no use for."""

    def __init__(self, url: str) -> None:
        super().__init__(url, name="simulation")
        self.engine = create_async_engine(url, pool_size=2)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @asynccontextmanager
    async def begin(self, scope: Scope | None = None) -> AsyncIterator[AsyncSession]:
        async with self._sessions() as session, session.begin():
            yield session


class Crash(Exception):
    """The process is gone, at a step of the script's choice."""


@dataclass(slots=True)
class World:
    """The state of the play."""

    db: Database
    seed: int
    random: random.Random = field(init=False)
    clock: Clock = field(init=False)
    calls: Calls = field(init=False)
    log: Log = field(init=False)
    sent: dict[str, Log] = field(default_factory=dict)
    batches: list[Batch] = field(default_factory=list)
    consumers: list[RequestConsumer | None] = field(default_factory=lambda: [None, None])
    quotas: dict[str, int | None] = field(default_factory=dict)
    story: list[str] = field(default_factory=list)
    met: Counter[str] = field(default_factory=Counter)
    _versions: Counter[str] = field(default_factory=Counter)
    _nested: bool = False

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        # Noon in a month, or just after its beginning: then calls belong to two.
        day = self.random.choice(
            [datetime(2026, 11, 15, 12, tzinfo=UTC), datetime(2026, 12, 1, 1, tzinfo=UTC)]
        )
        self.clock = Clock(day)
        self.calls = Calls(self.random, day)
        self.log = Log(self.clock, [[], []])

    @property
    def topic(self) -> str:
        """Of this seed alone: many play in one database."""
        return f"s{self.seed}.{TOPIC}"

    async def play(self) -> None:
        """Everything that can happen happened, in the order that the seed gives; then all is read to its end."""
        await self.quota()
        actions = self.random.choices(list(_ACTIONS), list(_ACTIONS.values()), k=self.random.randint(6, 14))
        for action in ["ingest", "assign", *actions]:
            self.clock.advance(self.random.random() * 5)
            await {
                "ingest": self.ingest, "step": self.step, "assign": self.assign, "relay": self.relay,
                "publish": self.publish, "fold": self.fold, "quota": self.quota, "wait": self.wait,
                "raise": self.raise_partitions,
            }[action]()  # fmt: skip
        await self.finish()

    async def ingest(self) -> None:
        """What a gateway's queue posts: a batch of new calls, an old one again, or one that is cut anew."""
        kind = self.random.random()
        flat = [entry for batch in self.batches for entry in batch]
        if kind < 0.6 or not flat:
            batch = self.calls.make(self.random.randint(1, 6))
            self.batches.append(batch)
        elif kind < 0.8:
            batch = self.random.choice(self.batches)
        else:
            start = self.random.randrange(len(flat))
            batch = flat[start : start + self.random.randint(1, 6)]
        groups: dict[int, list[Any]] = {}
        for key, entry in parse(json.dumps(batch).encode(), namespace=NAMESPACE).entries:
            groups.setdefault(partition_of(key, len(self.log.partitions)), []).append(entry)
        for partition, entries in groups.items():
            self.log.append(partition, envelope(entries))
        self.story.append(f"ingest {len(batch)}")

    async def assign(self) -> None:
        """Partitions are given out anew; who does not hear of it goes on as before, and two own the same ones."""
        everything = list(range(len(self.log.partitions)))
        share = self.random.sample(everything, self.random.randint(0, len(everything)))
        shares = [share, [p for p in everything if p not in share]]
        if self.random.random() < 0.4:
            shares = [everything, everything]
        for number, partitions in enumerate(shares):
            if partitions and self.random.random() < 0.8:
                await self._begin(number, partitions)

    async def _begin(self, number: int, partitions: list[int], *, faults: bool = True) -> RequestConsumer:
        scripted = ScriptedConsumer(
            self.log, self.topic, self.random, glitches=faults,
            meanwhile=self._other_runs(number) if faults else nobody,
        )  # fmt: skip
        # Seconds of the real clock play no part: a batch ends by its size, or when there is no more.
        # Reading ahead is an action of the script, below: as a task it would not come at the same moment twice.
        reading = Reading(
            "", self.topic, len(self.log.partitions), self.random.choice((1, 5, 500)), 1e9, ahead=False
        )
        started = RequestConsumer(
            self.db, self.clock, reading, cast("Any", scripted), "cluster-1",
            read=batch_reader(self.random.choice((None, False))),
        )  # fmt: skip
        started._months |= MONTHS  # made beforehand, once for all seeds
        await started.begin(sorted(partitions))
        self.consumers[number] = started
        self.story.append(f"consumer {number} begins {sorted(partitions)}")
        return started

    def _other_runs(self, number: int) -> Callable[[], Any]:
        async def run() -> None:
            if not self._nested and self.random.random() < 0.2:
                self._nested = True
                try:
                    await self._step(1 - number)
                finally:
                    self._nested = False

        return run

    async def step(self) -> None:
        """One of the consumers takes a step, which it may not live to end."""
        await self._step(self.random.randrange(2))

    async def _step(self, number: int) -> None:
        consumer = self.consumers[number]
        if consumer is None:
            partitions = list(range(len(self.log.partitions)))
            if not self._nested:
                await self._begin(number, partitions)
            return
        fatal = self.random.choice(CONSUMER_STEPS) if self.random.random() < 0.35 else None
        consumer.passed = self._crash_at(fatal)
        try:
            if consumer._ready is None and self.random.random() < 0.3:
                consumer._ready = await consumer._next()
                self.story.append(f"consumer {number} reads ahead")
                return
            new = await consumer.step()
        except (Crash, Fenced, LogTruncated, LogReplaced) as error:
            if isinstance(error, LogReplaced):
                raise
            self.consumers[number] = None
            self.met[type(error).__name__] += 1
            self.story.append(f"consumer {number} {type(error).__name__} {error}")
        else:
            self.story.append(f"consumer {number} records {new}")

    def _crash_at(self, fatal: str | None) -> Passed:
        def passed(step: str) -> None:
            if step == fatal:
                raise Crash(f"behind {step!r}")

        return passed

    async def relay(self) -> None:
        """The relay sends what is in the outbox; it may die on the way, or not hear the broker's answer."""
        if self.random.random() < 0.5:
            await self.publish()  # or there would often be nothing to send
        fatal = self.random.choice(RELAY_STEPS) if self.random.random() < 0.4 else None
        try:
            sent = await self._relay(fatal, unreliable=True).send_batch(limit=self.random.randint(1, 10))
        except (Crash, KafkaError) as error:
            self.met[f"relay {type(error).__name__}"] += 1
            self.story.append(f"relay {type(error).__name__} {error}")
        else:
            self.story.append(f"relay sends {sent}")

    def _relay(self, fatal: str | None, *, unreliable: bool) -> Relay:
        producer = ScriptedProducer(self.sent, self.clock, self.random, unreliable)
        return Relay(
            self.db, cast("AIOKafkaProducer", producer), self.clock, "metering", passed=self._crash_at(fatal)
        )

    async def publish(self) -> None:
        """What folds changed goes into the outbox, or the process dies before it has committed that."""
        await self.fold()
        try:
            async with self.db.begin() as session:
                await publish_usage(session, now=self.clock.now())
                if self.random.random() < 0.2:
                    raise Crash("before commit")
        except Crash:
            self.met["publish Crash"] += 1

    async def fold(self) -> None:
        """Some of what batches wrote down is added, some hours are settled, or the process dies before its commit."""
        fatal = "folded" if self.random.random() < 0.3 else None
        try:
            async with self.db.begin() as session:
                folded = await fold_deltas(
                    session, limit=self.random.choice((1, 3, 1_000)), passed=self._crash_at(fatal)
                )
                before = self.clock.now() - timedelta(hours=self.random.choice((0, 1, 9_999)))
                settled = await settle_hours(session, before=before, limit=self.random.choice((1, 1_000)))
                async with self.db.begin() as other:
                    assert await fold_deltas(other) == 0, "two fold at once"
        except Crash:
            self.met["fold Crash"] += 1
        else:
            self.story.append(f"{folded} folded, {settled} settled")

    async def quota(self) -> None:
        """A subscription's plan is new, or changed: with a small quota, a large one, or none."""
        number = self.random.randrange(6)
        subscription = self.calls.subscriptions[number]
        quota = self.random.choice([3, 10, 40, None])
        self._versions[subscription] += 1
        self.quotas[subscription] = quota
        copy = SubscriptionCopy(
            UUID(subscription), self._versions[subscription], UUID(self.calls.organisations[number]), _PROVIDER,
            UUID(int=number % 5 + 1), UUID(int=200 + number), "active", quota,
        )  # fmt: skip
        async with self.db.begin() as session:
            await take_subscription(session, copy, now=self.clock.now())
        self.story.append(f"quota of {number}: {quota}")

    async def wait(self) -> None:
        """Nothing happens for a while."""
        self.clock.at += timedelta(seconds=self.random.choice([1, 60, 3600]))

    async def raise_partitions(self) -> None:
        """The topic has one partition more: keys go elsewhere from now on."""
        if len(self.log.partitions) < 4:
            self.log.partitions.append([])
            self.story.append(f"{len(self.log.partitions)} partitions")

    async def finish(self) -> None:
        """All faults are over: one sound consumer reads to the end, everything is published, everything is sent."""
        reader = await self._begin(0, list(range(len(self.log.partitions))), faults=False)
        while any(
            reader.positions[number] < len(records) for number, records in enumerate(self.log.partitions)
        ):
            await reader.step()
        more = 1
        while more:
            async with self.db.begin() as session:
                more = await fold_deltas(session)
        more = 1
        while more:
            async with self.db.begin() as session:
                more = await publish_usage(session, now=self.clock.now())
        while await self._relay(None, unreliable=False).send_batch():
            pass
