"""The oracle: what must be in the database, recomputed from the traffic by code that shares nothing with metering's.

O1: each call that was made is counted once: raw rows, hours, days, subscriptions' days and quota counters agree with
the traffic, key by key. O3: what ingest acknowledged is among it. Before any count is judged, the stored offsets are
compared with Kafka's own high watermarks: a consumer that has not read everything has lost nothing yet.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from devstack.faults.run import Run
from devstack.faults.traffic import Entry

_DRAIN_SECONDS = 60.0
_NAMED = 3
Sums = dict[tuple[Any, ...], tuple[int, ...]]


async def watermarks(run: Run) -> dict[int, int]:
    """Kafka's high watermark of each partition of the run's request log, from a fetch of its own."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=run.environment["KAFKA_BOOTSTRAP_SERVERS"],
        enable_auto_commit=False,
        auto_offset_reset="none",
    )
    await consumer.start()
    try:
        partitions = [
            TopicPartition(run.topic, p) for p in sorted(consumer.partitions_for_topic(run.topic) or ())
        ]
        if not partitions:
            await consumer._client.force_metadata_update()
            found = consumer.partitions_for_topic(run.topic) or ()
            partitions = [TopicPartition(run.topic, p) for p in sorted(found)]
        consumer.assign(partitions)
        for partition in partitions:
            consumer.seek(partition, 0)
        # One fetch tells the watermark, whatever it brings; ListOffsets is not right on every broker.
        while any(consumer.highwater(partition) is None for partition in partitions):
            await consumer.getmany(timeout_ms=100, max_records=1)
        return {partition.partition: consumer.highwater(partition) for partition in partitions}
    finally:
        await consumer.stop()


async def drained(run: Run) -> None:
    """The consumer has read everything; a difference is noted when it does not within a minute."""
    wanted = await watermarks(run)
    deadline = time.monotonic() + _DRAIN_SECONDS
    while True:
        async with run.database() as connection:
            rows = await connection.fetch(
                "SELECT partition, next_offset FROM kafka_offset WHERE topic = $1", run.topic
            )
        stored = {row["partition"]: row["next_offset"] for row in rows}
        short = {p: (stored.get(p), high) for p, high in wanted.items() if (stored.get(p) or 0) < high}
        if not short:
            return
        if time.monotonic() > deadline:
            run.differ(f"stalled: offset stored and high watermark of {short}")
            return
        await asyncio.sleep(0.05)


async def judge(run: Run) -> None:
    """Every way in which the database is not what the traffic makes it is among the run's differences."""
    wanted = [entry for id_, entry in run.calls.made.items() if id_ not in run.uncounted]
    async with run.database() as connection:
        await _rows(run, connection, wanted)
        hours, days, subscription_days = _expected(wanted)
        _compare(run, "hours", await _hours(connection), hours)
        _compare(run, "days", await _days(connection), days)
        _compare(run, "subscriptions' days", await _subscription_days(connection), subscription_days)
        quota = await connection.fetchval("SELECT coalesce(sum(units), 0) FROM quota_usage")
        units = sum(sums[2] for sums in subscription_days.values())
        if quota != units:
            run.differ(f"quota counters hold {quota} units, {units} were used")
        await _dead_letters(run, connection)
        failures = await connection.fetchval(
            "SELECT coalesce(sum(checksum_failures), 0) FROM pg_stat_database"
        )
        if failures:
            run.differ(f"{failures} pages have a wrong checksum")


async def _dead_letters(run: Run, connection: asyncpg.Connection) -> None:
    found = await connection.fetchval("SELECT count(*) FROM dead_letter")
    if found != run.dead_letters:
        run.differ(f"{found} dead letters, {run.dead_letters} were expected")


async def _rows(run: Run, connection: asyncpg.Connection, wanted: Iterable[Entry]) -> None:
    ids = [row["request_id"] for row in await connection.fetch("SELECT request_id FROM api_requests_log")]
    found, made = set(ids), {entry["request"]["id"] for entry in wanted}
    if len(ids) != len(found):
        run.differ(f"O1: {len(ids) - len(found)} calls stand twice in the request log")
    for what, lost in (
        ("O3: acknowledged and lost", (run.sender.acknowledged - run.uncounted) - found),
        ("O1: made and not in the request log", made - found),
        ("O1: in the request log and never made", found - made),
    ):
        if lost:
            run.differ(f"{what}: {len(lost)}, e.g. {sorted(lost)[:_NAMED]}")


def _expected(wanted: Iterable[Entry]) -> tuple[Sums, Sums, Sums]:
    sums: list[Any] = [defaultdict(lambda: (0, 0, 0, 0)) for _ in range(3)]
    for entry in wanted:
        consumer = entry["consumer"]
        subscription, live = consumer["custom_id"], "mode:live" in consumer["tags"]
        at = datetime.fromtimestamp(entry["started_at"] // 1000, UTC)
        billable = live and entry["source"] == "upstream" and entry["response"]["status"] < 500
        one = (1, int(billable), int(billable), entry["response"]["size"])
        hour, day = at.replace(minute=0, second=0), at.date()
        places = [(0, hour), (1, day), *([(2, day)] if live else [])]
        for place, when in places:
            key = (subscription, when)
            sums[place][key] = tuple(a + b for a, b in zip(sums[place][key], one, strict=True))
    return dict(sums[0]), dict(sums[1]), dict(sums[2])


_TOTALS = "sum(calls)::bigint, sum(billable_calls)::bigint, sum(units)::bigint, sum(bytes_out)::bigint"


async def _sums(connection: asyncpg.Connection, table: str, when: str) -> Sums:
    rows = await connection.fetch(
        f"SELECT subscription_id::text, {when}, {_TOTALS} FROM {table} GROUP BY 1, 2"
    )
    return {(row[0], row[1]): (row[2], row[3], row[4], row[5]) for row in rows}


async def _hours(connection: asyncpg.Connection) -> Sums:
    return await _sums(connection, "usage_records_hourly_now", "hour_start")


async def _days(connection: asyncpg.Connection) -> Sums:
    return await _sums(connection, "usage_records_daily_now", "day")


async def _subscription_days(connection: asyncpg.Connection) -> Sums:
    return await _sums(connection, "subscription_day_now", "day")


def _compare(run: Run, what: str, found: Mapping[Any, Any], wanted: Mapping[Any, Any]) -> None:
    wrong = {
        key: (wanted.get(key), found.get(key))
        for key in wanted.keys() | found.keys()
        if wanted.get(key) != found.get(key)
    }
    if wrong:
        calls = sum(sums[0] for sums in found.values()), sum(sums[0] for sums in wanted.values())
        some = [f"{key[0]} {key[1]}: wanted, found {sums}" for key, sums in list(wrong.items())[:_NAMED]]
        run.differ(f"O1: {len(wrong)} {what} differ ({calls[0]} calls of {calls[1]}): {'; '.join(some)}")
