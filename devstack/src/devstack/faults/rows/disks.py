"""Row 13: the disk is full, under PostgreSQL and under Kafka."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from devstack import kafka_apache
from devstack.embedded import ports
from devstack.faults.lab import CACHE
from devstack.faults.rows.copies import Copy
from devstack.faults.run import Run

_POSTGRES_MEGABYTES, _KAFKA_MEGABYTES = 512, 96
_FULL = b"No space left on device"
_SUMS = """
SELECT (SELECT count(*) FROM api_requests_log) AS rows, (SELECT sum(calls) FROM usage_records_hourly_now) AS hours,
    (SELECT sum(calls) FROM usage_records_daily_now) AS days"""


@cache
def unmountable() -> str | None:
    """Why no small file system can be made here, or None."""
    with tempfile.TemporaryDirectory() as folder:
        problem = _mount(Path(folder), 1)
        if problem is None:
            _unmount(Path(folder))
    return problem and f"a full disk needs a small file system, and mount says: {problem}"


def _mount(folder: Path, megabytes: int) -> str | None:
    """The folder is a file system of that size; what went wrong otherwise."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=711", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return (done.stderr.strip() or "it failed") if done.returncode else None


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


def _disk(run: Run, megabytes: int) -> Path:
    folder = run.folder("disk")
    problem = _mount(folder, megabytes)
    if problem:
        raise RuntimeError(problem)
    run.afterwards(lambda: _unmount(folder))
    return folder


def _fill(disk: Path) -> Path:
    """Not a byte is left beside this file."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return filler


async def fill_disks(run: Run) -> None:
    """Nothing is half done while there is no space, and everything goes on when there is some again.

    The embedded broker has no disk: there, only PostgreSQL's is filled.
    """
    run.wants_kills = False
    await _fill_postgres(run)
    if run.lab.broker == "apache":
        await _fill_kafka(run)
    else:
        run.notes.append("Kafka's disk was not filled: the embedded broker has none")


async def _fill_postgres(run: Run) -> None:
    disk = await asyncio.to_thread(_disk, run, _POSTGRES_MEGABYTES)
    copy = await Copy.start(run, disk, source=run.lab.postgres.port, standby=False)
    run.turn_to(copy.server.port)
    run.judged_at(copy.server.port)
    await run.start("ingest")
    await run.start("consumer")
    await run.send(run.calls.again(run.calls.batches(4)))
    await run.idle()
    filler = await asyncio.to_thread(_fill, disk)
    sending = asyncio.create_task(run.sender.send(run.calls.again(run.calls.batches(60))))

    async def refused() -> bool:
        return _FULL in copy.log.read_bytes()

    await run.until(refused, "PostgreSQL to have no space left")
    await asyncio.sleep(run.random.uniform(0, 1.5))
    await _nothing_is_half_done(run)
    filler.unlink()
    await copy.answers()
    await sending
    await run.idle()


async def _nothing_is_half_done(run: Run) -> None:
    """Rows, hours and days agree while the disk is full, if PostgreSQL still answers."""
    try:
        async with run.database() as connection:
            found = await connection.fetchrow(_SUMS)
    except Exception as error:
        run.notes.append(f"with its disk full PostgreSQL said {type(error).__name__}")
        return
    if len({found["rows"], found["hours"], found["days"]}) != 1:
        run.differ(f"O1: with the disk full {dict(found)}")
    run.notes.append(
        f"with its disk full PostgreSQL answered: {found['rows']} calls, and so say hours and days"
    )


async def _fill_kafka(run: Run) -> None:
    disk = await asyncio.to_thread(_disk, run, _KAFKA_MEGABYTES)
    port = ports.free_port()
    command = await asyncio.to_thread(kafka_apache.command, CACHE, disk / "kafka", port, ports.free_port())
    broker = run.spawn("small-kafka", command)
    await kafka_apache.wait_ready(port, timeout_seconds=120)
    for role in ("ingest", "consumer"):
        await run.end_role(role)
    run.environment["KAFKA_BOOTSTRAP_SERVERS"] = f"127.0.0.1:{port}"
    await run.start("ingest")
    await run.start("consumer")
    await run.send(run.calls.again(run.calls.batches(4)))
    await run.idle()
    filler, before = await asyncio.to_thread(_fill, disk), run.sender.refused
    sending = asyncio.create_task(run.sender.send(run.calls.again(run.calls.batches(40, size=200))))

    async def refused() -> bool:
        return run.sender.refused > before and broker.poll() is not None

    await run.until(refused, "Kafka to have no space left, and to end", seconds=90)
    filler.unlink()
    run.spawn("small-kafka", command)
    await kafka_apache.wait_ready(port, timeout_seconds=120)
    await sending
    await run.idle()
    run.notes.append(f"Kafka ended for want of space; {run.sender.refused - before} POSTs were sent again")
