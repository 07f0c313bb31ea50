"""POSTs batches of calls over some connections, each waiting for its answers; prints how many calls were acknowledged.

With `--database` it holds back while more than `--most-waiting` acknowledged calls are not yet recorded.
`python -m bench.metering_kit.post --help`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import asyncpg

from bench.metering_kit.calls import bodies, entries
from bench.metering_kit.servers import plain
from common.clock import SystemClock

TOKEN = "ingest-token-of-the-bench"
_WAITING = "SELECT coalesce(sum(calls), 0)::bigint FROM usage_records_daily_now"


@dataclass
class Posted:
    """What was acknowledged by when."""

    calls: int = 0
    recorded: int = 0
    refused: int = 0
    took: list[float] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)


async def call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> int:
    """The status of the answer."""
    head = f"POST /v1/ingest/kong HTTP/1.1\r\nHost: bench\r\nX-Ingest-Token: {TOKEN}\r\nContent-Type: "
    writer.write(f"{head}application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    answer = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = answer.partition(b"content-length:")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length or 0))
    return int(answer.split(b" ", 2)[1])


async def post(given: argparse.Namespace, posted: Posted, work: Iterator[tuple[bytes, int]]) -> None:
    """One connection's share of the work."""
    reader, writer = await asyncio.open_connection("127.0.0.1", given.port)
    for body, count in work:
        while posted.calls - posted.recorded > given.most_waiting:
            await asyncio.sleep(0.01)
        began = time.perf_counter()
        while (status := await call(reader, writer, body)) == 503:
            posted.refused += 1
            await asyncio.sleep(0.1)
        if status != 202:
            raise SystemExit(f"the answer was {status}")
        posted.took.append(time.perf_counter() - began)
        posted.calls += count
    writer.close()


async def watch(url: str, posted: Posted) -> None:
    """What was recorded, looked at twice a second."""
    connection = await asyncpg.connect(plain(url))
    while True:
        posted.recorded = await connection.fetchval(_WAITING)
        posted.waiting.append(posted.calls - posted.recorded)
        await asyncio.sleep(0.5)


def work_of(given: argparse.Namespace) -> Iterator[tuple[bytes, int]]:
    """Bodies: `--calls` of them made beforehand; or fresh ones for `--seconds`."""
    if given.seconds is None:
        return iter(list(bodies(entries(given.calls, ends=SystemClock().now()), size=given.batch)))
    until = time.monotonic() + given.seconds
    endless = (
        body
        for number in itertools.count()
        for body in bodies(entries(20_000, first=number * 20_000, ends=SystemClock().now()), size=given.batch)
    )
    return itertools.takewhile(lambda _: time.monotonic() < until, endless)


async def run(given: argparse.Namespace) -> dict[str, float]:
    """Post it all; calls a second, and what waited."""
    posted, work = Posted(), work_of(given)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch(given.database, posted)) if given.database else None
        if watching is None:
            given.most_waiting = given.calls
        began = time.perf_counter()
        posting = [group.create_task(post(given, posted, work)) for _ in range(given.connections)]
        await asyncio.gather(*posting)
        seconds = time.perf_counter() - began
        acknowledged, recorded = posted.calls, posted.recorded
        while watching and posted.recorded < posted.calls:
            await asyncio.sleep(0.05)
        drained = time.perf_counter() - began - seconds
        if watching:
            watching.cancel()
    took = sorted(posted.took)
    return {
        "calls": acknowledged, "recorded": recorded, "seconds": seconds, "drained_seconds": drained,
        "refused": posted.refused, "most_waiting": max(posted.waiting, default=0),
        "p50_ms": took[len(took) // 2] * 1e3, "p99_ms": took[len(took) * 99 // 100] * 1e3,
    }  # fmt: skip


def main() -> None:
    """Parse the command line, post, print."""
    parser = argparse.ArgumentParser(prog="post", description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--batch", type=int, default=200)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, help="for so long, in place of --calls")
    parser.add_argument("--database", help="where what was recorded is looked up")
    parser.add_argument("--most-waiting", type=int, default=100_000)
    print(json.dumps(asyncio.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
