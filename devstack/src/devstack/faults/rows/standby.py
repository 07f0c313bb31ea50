"""Row 6: PostgreSQL's standby takes over, without the last transactions that the primary had committed."""

from __future__ import annotations

import asyncio

import asyncpg

from devstack.embedded import ports
from devstack.faults.proxy import Proxy, proxied
from devstack.faults.rows.copies import Copy
from devstack.faults.rows.servers import wait_busy
from devstack.faults.run import Kill, Run

_STATE = """
SELECT (SELECT count(*) FROM api_requests_log) AS rows,
    (SELECT coalesce(sum(next_offset), 0)::bigint FROM kafka_offset WHERE topic = $1) AS offsets"""


async def fail_over(run: Run) -> None:
    """The primary dies, the standby that takes its place lacks its tail: rows and offsets are back together.

    Our programs know one address, which leads to the standby from then on; they begin where its offsets say, and
    Kafka still has what was lost.
    """
    primary = run.lab.postgres
    try:
        async with proxied(primary.port) as stream, proxied(primary.port) as front:
            standby = await Copy.start(run, run.folder("standby"), source=stream.port, standby=True)
            run.turn_to(front.port)
            await run.start("ingest")
            consumer = await run.start("consumer")
            await run.send(run.calls.again(run.calls.batches(6)))
            await run.idle()
            await _caught_up(run, standby)
            _tear(stream)
            sending = asyncio.create_task(run.sender.send(run.calls.again(run.calls.batches(40))))
            had = await _kill_ahead(run)
            lacks = await _promoted(run, standby, had)
            front.target = standby.server.port
            front.cut()
            run.notes.append(f"the standby lacked {lacks} calls that the primary had counted")
            await sending
            await run.idle()
            await run.end(consumer)
    finally:
        if primary.process.poll() is not None:
            primary.start()
            await run.lab.ready()
    run.turn_to(standby.server.port)
    await run.start("consumer")


def _tear(stream: Proxy) -> None:
    """Nothing reaches the standby any more."""
    stream.target = ports.free_port()
    stream.cut()


async def _caught_up(run: Run, standby: Copy) -> None:
    async with run.database() as connection:
        wanted = await connection.fetchval("SELECT pg_current_wal_flush_lsn()::text")
    there = await asyncpg.connect(standby.server.url)
    try:

        async def replayed() -> bool:
            return bool(
                await there.fetchval("SELECT pg_last_wal_replay_lsn() >= CAST($1::text AS pg_lsn)", wanted)
            )

        await run.until(replayed, "the standby to have everything so far")
    finally:
        await there.close()


async def _kill_ahead(run: Run) -> tuple[int, int]:
    """The primary is killed at work, with transactions that the standby lacks; its rows and offsets before."""
    async with run.database() as connection:
        first = await connection.fetchrow(_STATE, run.topic)
        had = (0, 0)

        async def ahead() -> bool:
            nonlocal had
            found = await connection.fetchrow(_STATE, run.topic)
            had = (found["rows"], found["offsets"])
            return bool(had[0] > first["rows"] + 100 and had[1] > first["offsets"])

        await run.until(ahead, "the primary to be ahead", every=0)
        seen = await wait_busy(run, connection)
        await run.lab.postgres.kill()
    run.kills.append(Kill("postgres", "at random", seen, "connections in a transaction", run.elapsed()))
    return had


async def _promoted(run: Run, standby: Copy, had: tuple[int, int]) -> int:
    """The standby is the primary; how many of the calls it lacks that the former one had, at least."""
    there = await asyncpg.connect(standby.server.url)
    try:
        await there.execute("SELECT pg_promote()")
    finally:
        await there.close()
    run.judged_at(standby.server.port)
    async with run.database() as connection:
        found = await connection.fetchrow(_STATE, run.topic)
    if found["rows"] >= had[0] or found["offsets"] >= had[1]:
        run.differ(f"the standby lacked nothing: {dict(found)} after {had}")
    return int(had[0] - found["rows"])
