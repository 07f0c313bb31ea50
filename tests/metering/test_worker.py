"""The worker's loops together, and the command line, as they are run."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.clock import SystemClock
from common.db import Database
from metering.domain.errors import LogUnavailable
from metering.settings import Settings, kafka_log_of
from metering.usecases.follow_file import follow_file
from metering.worker import run
from tests.metering.conftest import INGEST_TOKEN
from tests.metering.factories import an_entry
from tests.metering.recording import count, folded, one, sums
from tests.support.broker import Broker
from tests.support.outbox import outbox_events
from tests.support.tokens import ISSUER


def lines_of(*numbers: int) -> bytes:
    now = SystemClock().now().replace(microsecond=0)
    return b"".join(json.dumps(an_entry(n, at=now)).encode() + b"\n" for n in numbers)


async def until(condition: Callable[[], Any], seconds: float = 40) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.1)


def environment(settings: Settings) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        "DATABASE_URL": settings.database_url.get_secret_value(), "REDIS_URL": "redis://127.0.0.1:1",
        "DATABASE_WORKER_URL": settings.database_worker_url.get_secret_value(), "JWKS_URL": ISSUER,
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers, "TOKEN_ISSUER": ISSUER,
        "KAFKA_TOPIC_PREFIX": settings.kafka_topic_prefix, "METERING_INGEST_TOKEN": INGEST_TOKEN,
    }  # fmt: skip


async def cli(settings: Settings, *arguments: str, stdin: bytes | None = None) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "metering.cli", *arguments, env=environment(settings),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, problems = await asyncio.wait_for(process.communicate(stdin), 60)
    return process.returncode or 0, out.decode() + problems.decode()


async def test_calls_in_a_log_file_become_published_usage_and_survive_a_restart(
    make_settings: Callable[..., Settings], kafka: str, worker_db: Database, tmp_path: Path
) -> None:
    path = tmp_path / "kong-file.log"
    settings = make_settings(
        KAFKA_BOOTSTRAP_SERVERS=kafka, file_log_path=path, publish_seconds=0.2, fold_seconds=0.2
    )
    path.write_bytes(lines_of(1, 2, 3) + b"not json\n" + lines_of(4)[:50])
    for expected, more in ((3, b""), (6, b"\n" + lines_of(5, 6, 7))):
        with path.open("ab") as file:
            file.write(more)
        stop = asyncio.Event()
        running = asyncio.create_task(run(settings, stop))

        async def arrived(wanted: int = expected) -> bool:
            return await count(worker_db, "subscription_day_now", "sum(calls)") >= wanted

        await until(arrived)
        stop.set()
        await asyncio.wait_for(running, 30)
    assert await sums(worker_db) == (6, 6, 6, 6)
    assert (
        await count(worker_db, "dead_letter") == 2
    )  # the line that is no JSON, and the one cut by the writer
    position = await one(worker_db, "SELECT position FROM file_position")
    assert position.position == path.stat().st_size
    stop = asyncio.Event()
    running = asyncio.create_task(run(settings, stop))

    async def published() -> bool:
        return bool(await outbox_events(worker_db, "metering.usage.v1"))

    await until(published)
    stop.set()
    await asyncio.wait_for(running, 30)


async def test_what_a_lost_broker_had_acknowledged_unread_is_taken_from_the_file_once_more(
    make_settings: Callable[..., Settings], own_broker: Broker, worker_db: Database, tmp_path: Path
) -> None:
    path = tmp_path / "kong-file.log"
    path.write_bytes(lines_of(1, 2, 3))
    settings = make_settings(KAFKA_BOOTSTRAP_SERVERS=own_broker.address, file_log_path=path)
    kafka_log = kafka_log_of(settings)

    async def follow() -> int:
        return await follow_file(
            worker_db, kafka_log, path, namespace=settings.namespace, clock=SystemClock()
        )

    assert await follow() == 3
    assert await follow() == 0
    await own_broker.kill()
    await own_broker.start()
    with pytest.raises(LogUnavailable):
        await follow()
    assert await follow() == 3
    stop = asyncio.Event()
    running = asyncio.create_task(run(settings, stop))

    async def arrived() -> bool:
        return await count(worker_db, "subscription_day_now", "sum(calls)") >= 3

    await until(arrived)
    stop.set()
    await asyncio.wait_for(running, 30)
    await kafka_log.close()
    assert await sums(worker_db) == (3, 3, 3, 3)


async def test_a_log_file_is_followed_over_rotations_and_restarts_without_losing_or_doubling(
    make_settings: Callable[..., Settings], kafka: str, worker_db: Database, tmp_path: Path
) -> None:
    path, renamed, copy = (tmp_path / f"kong-file.log{end}" for end in ("", ".2", ".1"))
    settings = make_settings(KAFKA_BOOTSTRAP_SERVERS=kafka)
    kafka_log = kafka_log_of(settings)

    async def follow() -> int:  # a worker that has just begun: what it knows is in the database
        return await follow_file(
            worker_db, kafka_log, path, namespace=settings.namespace, clock=SystemClock()
        )

    def append(*numbers: int) -> None:
        with path.open("ab") as file:
            file.write(lines_of(*numbers))

    append(1, 2)
    assert await follow() == 2
    append(3)
    path.rename(renamed)  # by renaming, with an unread line in it
    append(4, 5)
    os.utime(renamed, (1, 1))
    assert await follow() == 3
    append(6)
    copy.write_bytes(path.read_bytes())  # by copying and truncating, with another
    os.truncate(path, 0)
    append(7, 7)
    os.utime(copy, (2, 2))
    assert await follow() == 3
    assert await follow() == 0
    assert (await one(worker_db, "SELECT read_to FROM file_position")).read_to is not None
    await kafka_log.close()
    stop = asyncio.Event()
    running = asyncio.create_task(run(settings, stop))

    async def arrived() -> bool:
        return await count(worker_db, "subscription_day_now", "sum(calls)") >= 7

    await until(arrived)
    stop.set()
    await asyncio.wait_for(running, 30)
    assert await sums(worker_db) == (7, 7, 7, 7)


async def test_a_replay_that_follows_takes_what_is_appended_and_ends_at_ctrl_c(
    make_settings: Callable[..., Settings], kafka: str, worker_db: Database, tmp_path: Path
) -> None:
    path = tmp_path / "kong-file.log"
    path.write_bytes(lines_of(1, 2))
    settings = make_settings(KAFKA_BOOTSTRAP_SERVERS=kafka, publish_seconds=0.2)
    stop = asyncio.Event()
    running = asyncio.create_task(run(settings, stop))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "metering.cli", "replay", str(path), "--follow", env=environment(settings),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    for expected, more in ((2, ()), (4, (3, 4))):
        with path.open("ab") as file:
            file.write(lines_of(*more))

        async def arrived(wanted: int = expected) -> bool:
            return await count(worker_db, "api_requests_log") >= wanted

        await until(arrived)
    process.send_signal(signal.SIGINT)
    out, problems = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, out.decode()) == (0, "accepted=4 rejected=0 foreign=0\n"), problems.decode()
    stop.set()
    await asyncio.wait_for(running, 30)
    assert await sums(worker_db) == (4, 4, 4, 4)


async def test_replay_by_hand_may_be_repeated_and_reconcile_says_zero(
    make_settings: Callable[..., Settings], kafka: str, worker_db: Database, tmp_path: Path
) -> None:
    settings = make_settings(KAFKA_BOOTSTRAP_SERVERS=kafka)
    path = tmp_path / "kong-file.log"
    path.write_bytes(lines_of(*range(30)))
    (code, out), (again, from_stdin) = await asyncio.gather(
        cli(settings, "replay", str(path)), cli(settings, "replay", "-", stdin=path.read_bytes())
    )
    assert (code, again) == (0, 0), out + from_stdin
    assert "accepted=30 rejected=0 foreign=0" in out
    stop = asyncio.Event()
    running = asyncio.create_task(run(settings, stop))

    async def arrived() -> bool:
        read = await one(
            worker_db,
            "SELECT coalesce(sum(next_offset), 0) AS records FROM kafka_offset WHERE topic LIKE '%requests%'",
        )
        return bool(read.records >= 2)

    await until(arrived)
    stop.set()
    await asyncio.wait_for(running, 30)
    assert await sums(worker_db) == (30, 30, 30, 30)
    code, out = await cli(settings, "reconcile")
    assert code == 0, out
    assert "0 differ" in out
    await folded(worker_db)
    await one(worker_db, "UPDATE usage_records_daily SET calls = calls + 1 RETURNING 1")
    code, out = await cli(settings, "reconcile")
    assert code == 1
    assert "calls: raw 30, stored 31" in out
    code, out = await cli(settings, "rebuild", "--scratch")
    assert code == 1
    assert "calls: rebuilt 30, stored 31" in out
    code, out = await cli(settings, "reset-offsets")
    assert "Nothing was changed" in out
    assert await count(worker_db, "kafka_offset", "sum(next_offset)") >= 2
