"""The shipped consumer at work on a topic until so many calls are recorded, by it or by others; prints what it took.

`python -m bench.metering_kit.consume --help`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

from sqlalchemy import text

from bench.metering_kit.servers import cpu_seconds
from common.clock import SystemClock
from common.db import Database
from common.kafka.cluster import ClusterWatch
from common.worker import every, run_loops
from metering.consumers.requests import Reading, consume_requests
from metering.metrics import CALLS
from metering.settings import Settings
from metering.worker import collect_rarely, fold_pending

FOLD_SECONDS = Settings.model_fields["fold_seconds"].default


def recorded() -> int:
    """Calls that were committed in this process."""
    return int(sum(CALLS.labels(outcome)._value.get() for outcome in ("new", "repeated")))


async def all_are_read(db: Database, records: int) -> bool:
    """So many records of the topic are behind somebody."""
    async with db.begin() as session:
        found: int = (
            await session.execute(text("SELECT coalesce(sum(next_offset), 0) FROM kafka_offset"))
        ).scalar_one()
    return found >= records


async def run(given: argparse.Namespace) -> dict[str, float]:
    """Seconds and CPU from the first commit (from the start, if one batch took them all) until all is in the rollups.

    The worker's fold runs beside the consumer as it is shipped, and once more at the end: nothing is left to others
    but the settling of hours, which costs a row of them the same whether it stands for one call or for a million.
    """
    async with ClusterWatch(given.kafka) as cluster:
        partitions = len(await cluster.partitions([given.topic]))
    db, stop = Database(given.database, name="bench"), asyncio.Event()
    reading = Reading(given.kafka, given.topic, partitions, given.batch_calls, given.batch_seconds)

    def mark() -> tuple[float, ...]:
        return recorded(), time.perf_counter(), time.process_time(), cpu_seconds(given.postmaster)

    async def consume() -> None:
        await consume_requests(reading, db=db, clock=SystemClock(), stop=stop)

    async def fold() -> None:
        await every(FOLD_SECONDS, lambda: fold_pending(db), stop=stop)

    collect_rarely()
    began = mark()
    consuming = asyncio.create_task(run_loops({"requests": consume, "fold": fold}, stop=stop))
    look_seconds = 0.05 if given.shared else 0.005  # of those who share, each look asks PostgreSQL
    while recorded() < given.calls:
        await asyncio.sleep(look_seconds)
        if not began[0] and 0 < recorded() < given.calls:
            began = mark()
        if given.shared and await all_are_read(db, given.shared):
            break
    stop.set()
    await consuming
    await fold_pending(db)
    ended = mark()
    await db.dispose()
    calls, seconds, cpu, database = (after - before for before, after in zip(began, ended, strict=True))
    return {
        "calls": calls, "seconds": seconds, "cpu": cpu, "database_cpu": database, "began": began[1], "ended": ended[1]
    }  # fmt: skip


def main() -> None:
    """Parse the command line, consume, print."""
    parser = argparse.ArgumentParser(prog="consume", description=__doc__.partition("\n")[0])
    parser.add_argument("--kafka", required=True, help="host:port")
    parser.add_argument("--topic", required=True)
    parser.add_argument("--database", required=True, help="the worker role's URL")
    parser.add_argument("--postmaster", type=int, required=True, help="process id, for PostgreSQL's CPU time")
    parser.add_argument("--calls", type=int, required=True, help="how many are in the topic")
    parser.add_argument("--batch-calls", type=int, default=40_000)
    parser.add_argument(
        "--shared", type=int, default=0, help="others read too: how many records are in the topic"
    )
    parser.add_argument("--batch-seconds", type=float, default=0.25)
    print(json.dumps(asyncio.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
