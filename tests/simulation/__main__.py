"""`./marketplace simulate`: ten thousand ways for things to go wrong, one a seed, in one process each.

The shipped consumer, quota counter and outbox relay run on a real PostgreSQL. Broker, clock and crashes are a script
that the seed writes: records come again, in other portions and orders, partitions change hands or have two owners, a
topic grows, processes die behind any step, acknowledgements get lost. At the end of each seed everything is recounted.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import asyncpg

from devstack.embedded.databases import DatabaseUrls
from metering.db import request_log
from tests.faults import broken as variants
from tests.simulation.invariants import broken
from tests.simulation.world import MONTHS, BareDatabase, World
from tests.support.databases import Databases

_TRUNCATE_EVERY = 250
_TABLES = """api_requests_log, usage_pending, usage_records_hourly, usage_records_daily, usage_subscription_hourly,
    usage_api_hourly, usage_endpoint_daily, subscription_day, quota_usage, quota_state, subscription, outbox,
    kafka_offset, month_adjustment"""


@dataclass(slots=True)
class Found:
    """What came of some seeds."""

    seeds: int = 0
    met: Counter[str] = field(default_factory=Counter)
    broken: dict[int, list[str]] = field(default_factory=dict)


async def simulate(
    urls: DatabaseUrls, seeds: range, *, keep_going: bool = False, tell: bool = False
) -> Found:
    """Play `seeds` one after the other, up to the first that breaks an invariant (or all of them)."""
    db, found, began = BareDatabase(urls.worker), Found(), time.monotonic()
    try:
        async with db.begin() as session:
            await request_log.ensure_partitions(session, MONTHS)
        for number, seed in enumerate(seeds):
            if number % _TRUNCATE_EVERY == 0:
                await _execute(urls, f"TRUNCATE {_TABLES}")
            found.seeds += 1
            world = World(db, seed)
            wrong = await _play(world)
            found.met.update(world.met)
            if wrong:
                found.broken[seed] = wrong
                print(f"seed {seed}: {'; '.join(wrong)}\n  " + "\n  ".join(world.story), file=sys.stderr)
                if not keep_going:
                    break
                await _execute(urls, f"TRUNCATE {_TABLES}")
            if tell and number % 500 == 499:
                print(f"{number + 1} seeds, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    finally:
        await db.dispose()
    return found


async def _play(world: World) -> list[str]:
    try:
        await world.play()
        async with world.db.begin() as session:
            return await broken(world, session)
    except Exception as error:
        return [f"{type(error).__name__}: {error}"[:500]]


async def _execute(urls: DatabaseUrls, statement: str) -> None:
    connection = await asyncpg.connect(urls.superuser.replace("+asyncpg", ""))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def drop_unique_index(urls: DatabaseUrls) -> None:
    """Calls may stand twice in this database's log."""
    await _execute(urls, f"ALTER TABLE api_requests_log DROP CONSTRAINT {variants.UNIQUE_INDEX}")


async def _one_process(seeds: range, *, without_unique_index: bool, keep_going: bool) -> Found:
    databases = await Databases.start()
    try:
        urls = await databases.clone("metering")
        if without_unique_index:
            await drop_unique_index(urls)
            variants.without_unique_index()
        return await simulate(urls, seeds, tell=True, keep_going=keep_going)
    finally:
        await databases.stop()


def main() -> int:
    """0 when no seed broke an invariant; else the first that did is printed with its story."""
    parser = argparse.ArgumentParser(prog="marketplace simulate", description=__doc__)
    parser.add_argument(
        "--seeds", default="1..1000", metavar="A..B", help="both included; default: %(default)s"
    )
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first that breaks")
    parser.add_argument("--without-unique-index", action="store_true", help="a control: some seed must break")
    arguments = parser.parse_args()
    first, _, last = arguments.seeds.partition("..")
    seeds = range(int(first), int(last or first) + 1)
    began = time.monotonic()
    playing = _one_process(
        seeds, without_unique_index=arguments.without_unique_index, keep_going=arguments.keep_going
    )
    try:
        found = asyncio.run(playing)
    except KeyboardInterrupt:
        print("stopped; none of the seeds above broke an invariant")
        return 130
    met = ", ".join(f"{count} {name}" for name, count in sorted(found.met.items()))
    print(
        f"{found.seeds} seeds in {time.monotonic() - began:.0f} s, {len(found.broken)} broke an invariant; met: {met}"
    )
    return 1 if found.broken else 0


if __name__ == "__main__":
    sys.exit(main())
