"""Rows 3 and 5: Kafka and PostgreSQL are killed at work, stay away for a while, and come back."""

from __future__ import annotations

import asyncio

import asyncpg

from devstack.embedded import databases
from devstack.faults.run import Kill, Run

_LONG_OUTAGE_SECONDS = 60.0
_EVERY_TENTH = 10
_BUSY = """
SELECT count(*) FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND state IN ('active', 'idle in transaction')"""


def _outage(run: Run) -> float:
    """Some seconds; in every tenth run a minute, as in the catalogue."""
    return _LONG_OUTAGE_SECONDS if run.number % _EVERY_TENTH == _EVERY_TENTH - 1 else run.random.uniform(0, 5)


async def wait_busy(run: Run, connection: asyncpg.Connection) -> int:
    """Some connection is in a transaction at this moment; how many are."""
    seen = 0

    async def busy() -> bool:
        nonlocal seen
        seen = int(await connection.fetchval(_BUSY))
        return seen > 0

    await run.until(busy, "a connection in a transaction", every=0)
    return seen


async def kill_kafka(run: Run) -> None:
    """Ingest answers 503 while Kafka is away and the queue sends again; the consumer goes on from its stored offset."""
    await run.start("ingest")
    await run.start("consumer")
    sending = asyncio.create_task(run.sender.send(run.calls.again(run.calls.batches(40))))

    async def posting() -> bool:
        return run.sender.in_flight > 0 and len(run.sender.acknowledged) > 0

    await run.until(posting, "a POST to be open", every=0.002)
    await asyncio.sleep(run.random.random() * 0.1)
    await run.until(posting, "a POST to be open", every=0.001)
    kafka, seen = run.lab.kafka, run.sender.in_flight
    await kafka.kill()
    run.kills.append(Kill("kafka", "at random", seen, "entries in open POSTs", run.elapsed()))
    outage = _outage(run)
    await asyncio.sleep(outage)
    kafka.start()
    await run.lab.ready()
    await sending
    run.notes.append(f"away for {outage:.1f} s and its start; {run.sender.refused} POSTs were sent again")


async def kill_postgres(run: Run) -> None:
    """The postmaster and all its backends die at once; after the recovery all is there that was committed."""
    await run.start("ingest")
    await run.start("consumer")
    sending = asyncio.create_task(run.sender.send(run.calls.again(run.calls.batches(40))))
    async with run.database() as connection:
        await asyncio.sleep(run.random.random() * 0.3)
        seen = await wait_busy(run, connection)
        server = run.lab.postgres
        await server.kill()
    run.kills.append(Kill("postgres", "at random", seen, "connections in a transaction", run.elapsed()))
    outage = _outage(run)
    await asyncio.sleep(outage)
    server.start()
    await databases.wait_ready(run.lab.postgres_server.url)
    await sending
    run.notes.append(f"away for {outage:.1f} s and its recovery")
