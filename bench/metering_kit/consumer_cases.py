"""The shipped consumer, and the COPY that it is compared with."""

from __future__ import annotations

import asyncio
import sys

from bench.metering_kit import physical
from bench.metering_kit.run import Bench, Skipped, Took
from devstack.embedded.databases import DatabaseUrls


async def consume(
    bench: Bench, topic: str, urls: DatabaseUrls, *, calls: int, name: str = "consumer", shared: int = 0
) -> Took:
    """The shipped consumer recorded the topic's calls in a database of its own; with others, if it is shared."""
    return await bench.child(
        [
            sys.executable, "-m", "bench.metering_kit.consume", "--kafka", bench.servers.kafka, "--topic", topic,
            "--database", urls.worker, "--postmaster", str(bench.postmaster), "--calls", str(calls),
            "--batch-calls", str(bench.batch_calls), "--shared", str(shared),
        ],
        name=name,
    )  # fmt: skip


async def consumer(bench: Bench) -> Took:
    """The consumer on envelopes; its rows are kept for `copy`."""
    urls = await bench.servers.database()
    took = await consume(bench, bench.topics["envelopes"], urls, calls=bench.calls)
    await physical.keep(urls.superuser, bench.kept, bench.batch_calls)
    await bench.servers.drop(urls)
    return took


async def copy(bench: Bench) -> Took:
    """The rows that the consumer just recorded, by COPY."""
    if not bench.kept.exists():
        raise Skipped("the consumer recorded nothing")
    fresh = await bench.servers.database()
    took = await bench.child(
        [
            sys.executable, "-m", "bench.metering_kit.physical", "--rows", str(bench.kept), "--fresh", fresh.worker,
            "--postmaster", str(bench.postmaster),
        ],
        name="copy",
    )  # fmt: skip
    await bench.servers.drop(fresh)
    return took


async def no_index(bench: Bench) -> Took:
    """The consumer, with nothing that tells a call from its repeat."""
    urls = await bench.servers.database()
    dropped = "ALTER TABLE api_requests_log DROP CONSTRAINT pk_api_requests_log"
    await bench.servers.execute(dropped, urls=urls)
    took = await consume(bench, bench.topics["envelopes"], urls, calls=bench.calls)
    await bench.servers.drop(urls)
    return took


async def flat(bench: Bench) -> Took:
    """The consumer on a topic with a call in each record."""
    urls = await bench.servers.database()
    took = await consume(bench, bench.topics["flat"], urls, calls=bench.calls)
    await bench.servers.drop(urls)
    return took


async def shared_by(bench: Bench, number: int) -> Took:
    """So many consumers on twelve partitions: what all of them did, from the first one's first commit on."""
    urls = await bench.servers.database()
    found = await asyncio.gather(
        *(
            consume(
                bench,
                bench.topics["wide"],
                urls,
                calls=bench.calls,
                name=f"consumer-{one}",
                shared=bench.wide_records,
            )
            for one in range(number)
        )
    )
    await bench.servers.drop(urls)
    return {
        "calls": sum(one["calls"] for one in found), "cpu": sum(one["cpu"] for one in found),
        "seconds": max(one["ended"] for one in found) - min(one["began"] for one in found),
        "database_cpu": max(one["database_cpu"] for one in found),
    }  # fmt: skip
