"""What a fault run needs: PostgreSQL that keeps its promises, Kafka, and programs that can be killed."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from devstack import kafka_apache
from devstack.embedded import broker, databases, ports, privileges
from devstack.embedded.databases import DatabaseUrls
from devstack.embedded.postgres import Postgres, binaries
from devstack.stack.layout import HOME

PASSWORD = "faults"
# All of it is PostgreSQL's default; said here because everything below depends on it (initdb adds the checksums).
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
CACHE = Path.home() / ".cache" / "marketplace"


class Ended(Exception):
    """A program of a run ended without having been told to."""


@dataclass(slots=True)
class Victim:
    """One program of ours."""

    pid: int
    role: str
    ended: asyncio.Future[int]

    @property
    def alive(self) -> bool:
        """True until it is gone and waited for."""
        return not self.ended.done()

    def signal(self, number: int) -> None:
        """Send it a signal, unless it is gone."""
        if self.alive:
            os.kill(self.pid, number)


@dataclass(slots=True)
class Zygote:
    """The process that forks our programs."""

    process: asyncio.subprocess.Process
    logs: Path
    _starting: asyncio.Lock = field(default_factory=asyncio.Lock)
    _started: asyncio.Queue[int | None] = field(default_factory=asyncio.Queue)
    _futures: dict[int, asyncio.Future[int]] = field(default_factory=dict)
    _reader: asyncio.Task[None] | None = None

    @classmethod
    async def launch(cls, logs: Path) -> Zygote:
        """The programs are loaded, and nothing runs yet."""
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        with (logs / "zygote.log").open("ab") as sink:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.faults.victim", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=sink, cwd=HOME, env=environment, start_new_session=True,
            )  # fmt: skip
        self = cls(process, logs)
        self._reader = asyncio.create_task(self._read())
        return self

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            told = json.loads(line)
            if "started" in told:
                self._futures[told["started"]] = asyncio.get_running_loop().create_future()
                self._started.put_nowait(told["started"])
            else:
                self._futures.pop(told["ended"]).set_result(told["code"])
        self._started.put_nowait(None)

    async def start(self, role: str, environment: dict[str, str], **more: Any) -> Victim:
        """`role` runs, as a process of its own; `more` may say where it is to die, and how it is broken."""
        assert self.process.stdin is not None
        order = {"role": role, "environment": environment, "log": str(self.logs / f"{role}.log"), **more}
        async with self._starting:
            self.process.stdin.write(json.dumps(order).encode() + b"\n")
            pid = await self._started.get()
            if pid is None:
                raise RuntimeError(
                    f"The programs could not be loaded:\n{(self.logs / 'zygote.log').read_text()}"
                )
            return Victim(pid, role, self._futures[pid])

    async def close(self) -> None:
        """It and all its programs are gone."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        await self.process.wait()
        if self._reader is not None:
            self._reader.cancel()


@dataclass(slots=True)
class Server:
    """PostgreSQL or Kafka: a direct child, so that it can be waited for after a kill."""

    name: str
    port: int
    launch: Callable[[], subprocess.Popen[bytes]]
    process: subprocess.Popen[bytes]

    async def kill(self, number: int = signal.SIGKILL) -> None:
        """The server is gone, and its own children with it where it has some (PostgreSQL's backends)."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        for pid in [self.process.pid, *(child.pid for child in family)]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        await asyncio.to_thread(self.process.wait)

    def start(self) -> None:
        """The server is starting again, on what it left behind."""
        self.process = self.launch()


@dataclass(slots=True)
class Lab:
    """The servers that all runs share, until a row kills them."""

    home: Path
    postgres: Server
    postgres_server: Postgres
    kafka: Server
    broker: str
    why_embedded: str | None
    zygote: Zygote
    templates: set[str] = field(default_factory=set)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def kafka_address(self) -> str:
        """Where Kafka is reached."""
        return f"127.0.0.1:{self.kafka.port}"

    async def database(self, service: str = "metering") -> DatabaseUrls:
        """A migrated database of its own."""
        name = f"{service}_{next(self.numbers)}"
        await self.execute(f"CREATE DATABASE {name} TEMPLATE {service} OWNER {service}_owner")
        return databases.urls(
            service, port=self.postgres.port, password=PASSWORD, superuser_password=PASSWORD, database=name
        )

    async def execute(self, statement: str) -> None:
        """Run one statement as the superuser, outside of any transaction."""
        connection = await asyncpg.connect(self.postgres_server.url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def ready(self) -> None:
        """PostgreSQL and Kafka answer."""
        await databases.wait_ready(self.postgres_server.url)
        if self.broker == "apache":
            await kafka_apache.wait_ready(self.kafka.port, timeout_seconds=120)
        else:
            while not ports.accepts(self.kafka.port):
                await asyncio.sleep(0.02)


@asynccontextmanager
async def open_lab(*, prefer: str | None = None) -> AsyncIterator[Lab]:
    """A lab in a folder of its own, which is gone afterwards. `prefer` is a broker; else Apache Kafka where it can be.

    Raises RuntimeError when Apache Kafka was asked for and cannot run here.
    """
    base = Path("/var/tmp") if privileges.is_root() else Path(tempfile.gettempdir())
    home = Path(tempfile.mkdtemp(prefix="marketplace-faults-", dir=base))
    home.chmod(0o711)  # noqa: ASYNC240
    children: list[subprocess.Popen[bytes]] = []
    zygote: Zygote | None = None
    try:
        zygote = await Zygote.launch(home)
        server = await _postgres(home, children)
        kafka, name, reason = await asyncio.to_thread(_kafka, home, prefer, children)
        lab = Lab(home, server[0], server[1], kafka, name, reason, zygote)
        await lab.ready()
        await migrated_template(lab, "metering")
        yield lab
    finally:
        if zygote is not None:
            await zygote.close()
        for child in children:
            _end(child)
        shutil.rmtree(home, ignore_errors=True)


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:
        return
    with suppress(ProcessLookupError):
        child.send_signal(signal.SIGINT)
    try:
        child.wait(10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


async def _postgres(home: Path, children: list[subprocess.Popen[bytes]]) -> tuple[Server, Postgres]:
    found = Postgres(home / "postgres", binaries(home), ports.free_port(), PASSWORD)
    await asyncio.to_thread(found.initialise)

    def launch() -> subprocess.Popen[bytes]:
        children.append(found.start(home / "postgres.log", options=DURABLE))
        return children[-1]

    return Server("postgres", found.port, launch, launch()), found


def _kafka(
    home: Path, prefer: str | None, children: list[subprocess.Popen[bytes]]
) -> tuple[Server, str, str | None]:
    reason = kafka_apache.available(CACHE)
    if prefer == "apache" and reason:
        raise RuntimeError(f"Apache Kafka cannot run here: {reason}")
    port, embedded = ports.free_port(), prefer == "embedded" or reason is not None
    if embedded:
        command = broker.command(port, secrets.token_hex(8))
    else:
        command = kafka_apache.command(CACHE, home / "kafka", port, ports.free_port())

    def launch() -> subprocess.Popen[bytes]:
        with (home / "kafka.log").open("ab") as sink:
            children.append(subprocess.Popen(command, stdout=sink, stderr=sink, start_new_session=True))
        return children[-1]

    server = Server("kafka", port, launch, launch())
    return server, "embedded" if embedded else "apache", reason if embedded else None


async def migrated_template(lab: Lab, service: str) -> None:
    """The database `service` exists, migrated: the runs' databases are copies of it. Made once."""
    if service in lab.templates:
        return
    lab.templates.add(service)
    await databases.provision(lab.postgres_server.url, service, PASSWORD)
    owner = databases.urls(
        service, port=lab.postgres.port, password=PASSWORD, superuser_password=PASSWORD
    ).owner
    ini = HOME / "services" / service.replace("_", "-") / "alembic.ini"
    await run_program(
        [sys.executable, "-m", "common.migrations", f"{ini}=DATABASE_OWNER_URL"],
        environment={"DATABASE_OWNER_URL": owner},
    )


async def run_program(command: list[str], *, environment: dict[str, str]) -> str:
    """What `command` printed; RuntimeError with its complaints where it failed."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=HOME,
        env=environment | {"PATH": os.environ["PATH"]},
    )  # fmt: skip
    said, problems = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{(said + problems).decode()[-2000:]}")
    return said.decode()
