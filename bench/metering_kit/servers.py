"""What it runs on: a PostgreSQL that syncs, a real Apache Kafka where it can be had, and their CPU time."""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

import asyncpg
import psutil

from bench.metering_kit.calls import APIS, ENDPOINTS, credentials
from common.ids import derived_id
from common.kafka.cluster import ensure_topics
from devstack import kafka_apache
from devstack.embedded import broker, databases, ports, postgres, privileges
from devstack.embedded.databases import DatabaseUrls

HOME = Path(__file__).parents[2]
CACHE = Path.home() / ".cache" / "marketplace"
PASSWORD = "bench"
# Everything is synced; the rest as a server of some gigabytes would be set, the same for all that is compared.
OPTIONS = {"shared_buffers": "512MB", "max_wal_size": "8GB", "checkpoint_timeout": "30min"}


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and of all its children, ended ones included."""
    process = psutil.Process(pid)
    spent = 0.0
    for each in [process, *process.children(recursive=True)]:
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue  # it ended in this moment; its parent's account has it the next time
        spent += times.user + times.system
        if each.pid == pid:
            spent += times.children_user + times.children_system
    return spent


def end(
    process: subprocess.Popen[bytes], *, by: signal.Signals = signal.SIGTERM, seconds: float = 20
) -> None:
    """The process has ended, by force if need be."""
    if process.poll() is None:
        process.send_signal(by)
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


@dataclass
class Servers:
    """The servers of a run, in a folder that goes with them."""

    folder: Path
    postgres: postgres.Postgres
    kafka: str = ""
    broker: str = ""
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @classmethod
    async def start(cls, stack: AsyncExitStack, *, embedded: bool, rows: int = 0) -> Self:
        """Both are up, with the bench's template database, `rows` old calls in it; all of it ends with `stack`."""
        folder = Path(tempfile.mkdtemp(prefix="marketplace-bench-", dir="/var/tmp"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        shared = privileges.data_root(HOME / ".run")
        shared.mkdir(parents=True, exist_ok=True)
        server = postgres.Postgres(folder / "data", postgres.binaries(shared), ports.free_port(), PASSWORD)
        self = cls(folder, server)
        stack.callback(self.stop)
        await asyncio.to_thread(server.initialise)
        self.running["postgres"] = server.start(folder / "postgres.log", options=OPTIONS)
        await databases.wait_ready(server.url)
        await self._template(rows)
        await self._start_broker(embedded=embedded)
        return self

    def stop(self) -> None:
        """What was started has ended."""
        for name, process in reversed(self.running.items()):
            end(process, by=signal.SIGINT if name == "postgres" else signal.SIGTERM)
        self.running.clear()

    async def _start_broker(self, *, embedded: bool) -> None:
        reason = "asked for" if embedded else kafka_apache.available(CACHE)
        port = ports.free_port()
        if reason is None:
            home = self.folder / "kafka"
            command = await asyncio.to_thread(kafka_apache.command, CACHE, home, port, ports.free_port())
            self.broker = f"Apache Kafka {kafka_apache.VERSION}"
        else:
            command = broker.command(port, secrets.token_hex(8))
            self.broker = f"the embedded broker, in memory ({reason})"
        self.running["kafka"] = self.spawn(command, name="kafka")
        self.kafka = f"127.0.0.1:{port}"
        if reason is None:
            await kafka_apache.wait_ready(port, timeout_seconds=180)
        while not ports.accepts(port):
            await asyncio.sleep(0.05)

    def spawn(
        self,
        command: Sequence[str],
        *,
        name: str,
        output: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """A direct child with a log of its own; Ctrl-C is for us alone, who then end it."""
        with (self.folder / f"{name}.log").open("ab") as sink:
            return subprocess.Popen(
                list(command), cwd=HOME, stdin=subprocess.DEVNULL, stdout=sink if output is None else output,
                stderr=sink, start_new_session=True, env={**os.environ, **(environment or {})},  # noqa: TID251 - a child process
            )  # fmt: skip

    async def topic(self, name: str, *, partitions: int) -> str:
        """A topic with a name that no other run of this broker had."""
        unique = f"{name}.{next(self._numbers)}"
        await ensure_topics(self.kafka, [unique], partitions=partitions, compacted=False)
        return unique

    async def database(self) -> DatabaseUrls:
        """A fresh metering database as it is shipped, which knows the bench's versions and subscriptions."""
        name = f"metering_{next(self._numbers)}"
        await self.execute(
            f"CREATE DATABASE {name} TEMPLATE metering OWNER metering_owner STRATEGY file_copy"
        )
        return self._urls(name)

    async def drop(self, urls: DatabaseUrls) -> None:
        """The database is gone."""
        await self.execute(f"DROP DATABASE {urls.api.rsplit('/', 1)[1]} WITH (FORCE)")

    async def execute(self, *statements: str, urls: DatabaseUrls | None = None) -> None:
        """The superuser runs the statements, in the named database."""
        connection = await asyncpg.connect(plain(urls.superuser) if urls else self.postgres.url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    def _urls(self, database: str) -> DatabaseUrls:
        return databases.urls(
            "metering",
            port=self.postgres.port,
            password=PASSWORD,
            superuser_password=PASSWORD,
            database=database,
        )

    async def _template(self, rows: int) -> None:
        await databases.provision(self.postgres.url, "metering", PASSWORD)
        urls = self._urls("metering")
        ini = HOME / "services" / "metering" / "alembic.ini"
        command = [sys.executable, "-m", "common.migrations", f"{ini}=DATABASE_OWNER_URL"]
        done = await asyncio.create_subprocess_exec(
            *command, cwd=HOME, env={"DATABASE_OWNER_URL": urls.owner, "PATH": "/usr/bin:/bin"},
            stderr=subprocess.PIPE,
        )  # fmt: skip
        _, said = await done.communicate()
        if done.returncode:
            raise SystemExit(f"The migrations of metering failed:\n{said.decode()}")
        for url, fill in ((urls.worker, _copies), (urls.superuser, partial(_old_calls, rows=rows))):
            connection = await asyncpg.connect(plain(url))
            try:
                await fill(connection)
            finally:
                await connection.close()


def plain(url: str) -> str:
    """The URL without SQLAlchemy's driver."""
    return url.replace("+asyncpg", "")


async def _copies(connection: asyncpg.Connection) -> None:
    """Every API's version with its endpoints, and every subscription with a quota that nobody reaches."""
    known = {caller.version: caller for caller in reversed(credentials())}
    await connection.executemany(
        "INSERT INTO api_version (version_id, version, api_id, name) VALUES ($1, 1, $2, 'v1')",
        [(version, caller.api) for version, caller in known.items()],
    )
    await connection.executemany(
        "INSERT INTO endpoint (endpoint_id, version_id, method, path, weight, retired)"
        " VALUES ($1, $2, $3, $4, 1, false)",
        [
            (derived_id("bench", version, method, path), version, method, path)
            for version in known
            for method, path, _ in ENDPOINTS
        ],
    )
    await connection.executemany(
        "INSERT INTO subscription (subscription_id, version, consumer_org, provider_org, api_id, plan_version_id,"
        " status, quota) VALUES ($1, 1, $2, $3, $4, $5, 'active', 1000000000)",
        [(c.subscription, c.consumer_org, c.provider_org, c.api, c.plan_version) for c in credentials()],
    )
    assert len(known) == APIS


async def _old_calls(connection: asyncpg.Connection, rows: int) -> None:
    """The log holds so many calls of the 28 days before yesterday, in time order, a million in a statement.

    They were looked after as old rows are: what is measured is not PostgreSQL's first pass over them.
    """
    for month in (0, 1):
        await connection.execute(
            f"SELECT ensure_request_log_partition((now() - interval '{month} month')::date)"
        )
    for first in range(0, rows, 1_000_000):
        await connection.execute(_OLD_CALLS, rows, first, min(first + 1_000_000, rows) - 1, timeout=3_600)
    await connection.execute("VACUUM (FREEZE, ANALYZE) api_requests_log", timeout=3_600)
    await connection.execute("CHECKPOINT", timeout=3_600)


_OLD_CALLS = """
    INSERT INTO api_requests_log (started_at, request_id, subscription_id, plan_version_id, key_id, is_test,
        consumer_org, provider_org, api_id, method, path, status, upstream_status, source, billable, units, latency_ms,
        upstream_latency_ms, gateway_latency_ms, bytes_in, bytes_out, client_net)
    SELECT now() - interval '29 days' + n * (interval '28 days' / $1::bigint), md5(n::text), s.subscription_id,
        s.plan_version_id, s.subscription_id, false, s.consumer_org, s.provider_org, s.api_id, 'GET',
        '/provider1/api1/v1/things/' || n % 9973, 200, 200, 'upstream', true, 1, n % 400, n % 397, 3, 133, 406,
        '203.0.113.0/24'
    FROM generate_series($2::bigint, $3::bigint) AS n
        JOIN (SELECT row_number() OVER () - 1 AS place, * FROM subscription) AS s
            ON s.place = n * 7919 % (SELECT count(*) FROM subscription)"""
