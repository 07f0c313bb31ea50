"""The same rows into the same table by binary COPY and nothing else: how fast PostgreSQL can take them at all.

`python -m bench.metering_kit.physical --help`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg

from bench.metering_kit.servers import cpu_seconds, plain

TABLE = "api_requests_log"
# The bench's old calls end a day before; everything that the consumer recorded is of the last hours.
NEW = "started_at > now() - interval '20 hours'"


async def keep(recorded: str, folder: Path, size: int) -> None:
    """The new rows of a database are in `folder` as PostgreSQL's binary COPY writes them, `size` in each file."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    connection = await asyncpg.connect(plain(recorded))
    try:
        rows = await connection.fetchval(f"SELECT count(*) FROM {TABLE} WHERE {NEW}")
        for first in range(0, rows, size):
            await connection.copy_from_query(
                f"SELECT * FROM {TABLE} WHERE {NEW} ORDER BY started_at, request_id OFFSET {first} LIMIT {size}",
                output=folder / f"{first:09}.{min(size, rows - first)}", format="binary",
            )  # fmt: skip
    finally:
        await connection.close()


async def pieces(chunk: bytes) -> AsyncIterator[bytes]:
    """The chunk in messages of the size that the driver itself would send."""
    for start in range(0, len(chunk), 524_288):
        yield chunk[start : start + 524_288]


async def run(given: argparse.Namespace) -> dict[str, float]:
    """Seconds and CPU from the end of the first COPY to that of the last, or of the only one; a transaction each."""
    files = sorted(given.rows.iterdir())
    ready, sizes = [file.read_bytes() for file in files], [int(file.suffix[1:]) for file in files]
    fresh = await asyncpg.connect(plain(given.fresh))
    for hours in (0, 20):
        await fresh.execute(f"SELECT ensure_request_log_partition((now() - interval '{hours} hours')::date)")

    def mark() -> tuple[float, ...]:
        return time.perf_counter(), time.process_time(), cpu_seconds(given.postmaster)

    began, calls = mark(), sum(sizes)
    for number, chunk in enumerate(ready):
        await fresh.copy_to_table(TABLE, source=pieces(chunk), format="binary")
        if number == 0 and len(ready) > 1:
            began, calls = mark(), calls - sizes[0]
    seconds, cpu, database = (after - before for before, after in zip(began, mark(), strict=True))
    await fresh.close()
    return {"calls": calls, "seconds": seconds, "cpu": cpu, "database_cpu": database}


def main() -> None:
    """Parse the command line, copy, print."""
    parser = argparse.ArgumentParser(prog="physical", description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=Path, required=True, help="the folder of `keep`")
    parser.add_argument("--fresh", required=True, help="the URL of a database that shall hold them")
    parser.add_argument("--postmaster", type=int, required=True, help="process id, for PostgreSQL's CPU time")
    print(json.dumps(asyncio.run(run(parser.parse_args()))))


if __name__ == "__main__":
    main()
