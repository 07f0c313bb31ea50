"""The same rows into the same table by binary COPY and nothing else: how fast PostgreSQL can take them at all.

`python -m bench.metering_kit.physical --help`.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import time
from collections.abc import AsyncIterator

import asyncpg

from bench.metering_kit.servers import cpu_seconds, plain

TABLE = "api_requests_log"
# The bench's old calls end a day before; everything that the consumer recorded is of the last hours.
NEW = "started_at > now() - interval '20 hours'"


async def chunks(recorded: asyncpg.Connection, size: int) -> list[bytes]:
    """The recorded rows as PostgreSQL's binary COPY writes them, `size` in each."""
    found = []
    for first in range(0, await recorded.fetchval(f"SELECT count(*) FROM {TABLE} WHERE {NEW}"), size):
        sink = io.BytesIO()
        await recorded.copy_from_query(
            f"SELECT * FROM {TABLE} WHERE {NEW} ORDER BY started_at, request_id OFFSET {first} LIMIT {size}",
            output=sink, format="binary",
        )  # fmt: skip
        found.append(sink.getvalue())
    return found


async def pieces(chunk: bytes) -> AsyncIterator[bytes]:
    """The chunk in messages of the size that the driver itself would send."""
    for start in range(0, len(chunk), 524_288):
        yield chunk[start : start + 524_288]


async def run(given: argparse.Namespace) -> dict[str, float]:
    """Seconds and CPU from the end of the first COPY to that of the last, or of the only one; a transaction each."""
    recorded, fresh = [await asyncpg.connect(plain(url)) for url in (given.recorded, given.fresh)]
    ready = await chunks(recorded, given.batch_calls)
    calls = await recorded.fetchval(f"SELECT count(*) FROM {TABLE} WHERE {NEW}")
    months = await recorded.fetch(
        f"SELECT DISTINCT date_trunc('month', started_at)::date FROM {TABLE} WHERE {NEW}"
    )
    for (month,) in months:
        await fresh.execute("SELECT ensure_request_log_partition($1)", month)

    def mark() -> tuple[float, ...]:
        return time.perf_counter(), time.process_time(), cpu_seconds(given.postmaster)

    began = mark()
    for number, chunk in enumerate(ready):
        await fresh.copy_to_table(TABLE, source=pieces(chunk), format="binary")
        if number == 0 and len(ready) > 1:
            began, calls = mark(), calls - given.batch_calls
    seconds, cpu, database = (after - before for before, after in zip(began, mark(), strict=True))
    for connection in (recorded, fresh):
        await connection.close()
    return {"calls": calls, "seconds": seconds, "cpu": cpu, "database_cpu": database}


def main() -> None:
    """Parse the command line, copy, print."""
    parser = argparse.ArgumentParser(prog="physical", description=__doc__.partition("\n")[0])
    parser.add_argument("--recorded", required=True, help="the URL of a database that holds the rows")
    parser.add_argument("--fresh", required=True, help="and of one that shall")
    parser.add_argument("--postmaster", type=int, required=True, help="process id, for PostgreSQL's CPU time")
    parser.add_argument("--batch-calls", type=int, required=True, help="rows in a COPY")
    print(json.dumps(asyncio.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
