"""Record calls as the consumer does, without Kafka."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import text

from common.db import Database
from common.steps import Passed, unwatched
from metering.db import positions, request_log
from metering.db.copies import VersionCache
from metering.db.positions import Advance
from metering.domain.batch import Record, read_batch
from metering.domain.lateness import milliseconds
from metering.domain.parse_log import envelope, parse
from metering.usecases.fold_deltas import fold_deltas
from metering.usecases.publish_usage import publish_usage
from metering.usecases.record_calls import Log, Recorded, record_calls
from metering.usecases.settle_hours import settle_hours
from tests.metering.factories import NAMESPACE

TOPIC = "gateway.requests.v1"
CLUSTER = "cluster-1"
COUNTRIES = {"198.51.100.1": "DE", "198.51.100.2": "FR"}
NOW = datetime(2026, 11, 15, 12, tzinfo=UTC)
MONTHS = [date(2026, month, 1) for month in (9, 10, 11, 12)]


class Recorder:
    """A consumer's view of the log: where it thinks partition 0 and 1 stand."""

    def __init__(self, db: Database) -> None:
        self.db, self.positions = db, {0: 0, 1: 0}
        self.unseen = True  # the guess with which a consumer begins

    async def begin(self) -> Recorder:
        async with self.db.begin() as session:
            await request_log.ensure_partitions(session, MONTHS)
            await positions.adopt(session, TOPIC, cluster_id=CLUSTER, starts={0: 0, 1: 0}, now=NOW)
            rows = await positions.lock(session, TOPIC)
        self.positions = {partition: row.next_offset for partition, row in rows.items()}
        return self

    async def record(
        self, *entries: dict[str, Any], partition: int = 0, taken_at: datetime = NOW, now: datetime = NOW,
        watermark: datetime | None = None, passed: Passed = unwatched,
    ) -> Recorded:  # fmt: skip
        """One Kafka record that holds `entries`, in one transaction."""
        offset = self.positions[partition]
        value = enveloped(entries)
        cache = VersionCache()
        async with self.db.begin() as session:
            await cache.refresh(session)
        batch = read_batch([Record(partition, offset, milliseconds(taken_at), value)], cache.versions)
        move = Advance(offset + 1, b"digest", offset + 1, watermark or taken_at)
        async with self.db.begin() as session:
            recorded = await record_calls(
                session,
                batch,
                log=Log(TOPIC, CLUSTER, self.positions),
                moves={partition: move},
                now=now,
                unseen=self.unseen,
                passed=passed,
            )
        self.positions[partition] = offset + 1
        return recorded

    async def watermark(self, at: datetime) -> None:
        """Both partitions were found read to their end at `at`."""
        async with self.db.begin() as session:
            await positions.advance_idle(
                session,
                TOPIC,
                cluster_id=CLUSTER,
                positions=self.positions,
                watermarks=dict.fromkeys((0, 1), at),
            )


def enveloped(entries: Sequence[dict[str, Any]]) -> bytes:
    parsed = parse(json.dumps(list(entries)).encode(), namespace=NAMESPACE, country_of=COUNTRIES.get)
    assert not parsed.rejected
    return envelope([entry for _, entry in parsed.entries])


async def folded(db: Database) -> None:
    """All that was pending is in the rollups' own tables, and no hour is open."""
    async with db.begin() as session:
        await fold_deltas(session)
        await settle_hours(session, before=datetime(9999, 1, 1, tzinfo=UTC))


async def published(db: Database, *, now: datetime = NOW) -> int:
    """What was recorded is folded, and what changed is in the outbox; how many."""
    await folded(db)
    async with db.begin() as session:
        return await publish_usage(session, now=now)


async def one(db: Database, statement: str, **values: Any) -> Any:
    """The first row of a statement."""
    async with db.begin() as session:
        return (await session.execute(text(statement), values)).first()


async def count(db: Database, table: str, what: str = "count(*)") -> int:
    row = await one(db, f"SELECT coalesce({what}, 0) FROM {table}")
    return int(row[0])


async def sums(db: Database) -> tuple[int, int, int, int]:
    """Calls in the raw log, by hour, by day, and by subscription's day: the first three are always equal."""
    return (
        await count(db, "api_requests_log"),
        await count(db, "usage_records_hourly_now", "sum(calls)"),
        await count(db, "usage_records_daily_now", "sum(calls)"),
        await count(db, "subscription_day_now", "sum(calls)"),
    )


def minutes_ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)
