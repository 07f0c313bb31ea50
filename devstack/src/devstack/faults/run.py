"""One run of one row: a database and topics of its own, traffic, kills, and what the oracle says of it all."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil

from devstack.embedded import ports
from devstack.embedded.databases import DatabaseUrls
from devstack.faults.lab import Ended, Lab, Victim
from devstack.faults.traffic import INGEST_TOKEN, NAMESPACE, Batch, Calls, Sender, this_instant
from devstack.stack.layout import HOME

_READY_SECONDS = 30.0
_DIE_SECONDS = 40.0
TOPIC = "gateway.requests.v1"
ADDRESS = "http://127.0.0.1:1"  # of what a run has no need for


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill that counted: the victim had so much work in hand at that instant."""

    process: str
    where: str
    in_flight: int
    measured: str
    at_seconds: float


@dataclass(slots=True)
class Run:
    """What a row plays with."""

    lab: Lab
    number: int
    seed: int
    random: random.Random
    urls: DatabaseUrls
    calls: Calls
    sender: Sender
    environment: dict[str, str]
    broken: str | None = None
    kills: list[Kill] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    uncounted: set[str] = field(default_factory=set)
    dead_letters: int = 0
    wants_kills: bool = True
    _victims: list[Victim] = field(default_factory=list)
    _servers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _feeding: list[asyncio.Task[None]] = field(default_factory=list)
    _afterwards: list[Callable[[], object]] = field(default_factory=list)
    log_began: int = 0
    _began: float = field(default_factory=time.monotonic)

    @property
    def topic(self) -> str:
        """The run's own request log."""
        return self.environment["KAFKA_TOPIC_PREFIX"] + TOPIC

    def elapsed(self) -> float:
        """Seconds since the run began."""
        return round(time.monotonic() - self._began, 2)

    def differ(self, text: str) -> None:
        """Something is not as it must be."""
        self.differences.append(text)

    async def start(self, role: str, **more: Any) -> Victim:
        """A program of ours runs; a consumer is broken where the run is a negative control."""
        if self.broken and role == "consumer":
            more["broken"] = self.broken
        victim = await self.lab.zygote.start(role, self.environment, **more)
        self._victims.append(victim)
        if role == "ingest":
            await self.until(lambda: _accepts(self.environment["INGEST_PORT"], victim), "ingest to listen")
        return victim

    async def start_to_die(self, role: str, step: str, *, nth: int = 1, after: float = 0) -> Victim:
        """A program of ours runs that will kill itself behind `step`."""
        return await self.start(role, failpoint={"at": step, "nth": nth, "after": after})

    def feed(self, victim: Victim) -> None:
        """There is always something to do until the victim is dead; `settled` waits for what is still unanswered."""

        async def send() -> None:
            while victim.alive:
                await self.sender.send(self.calls.again(self.calls.batches(4)))

        self._feeding.append(asyncio.create_task(send()))

    async def settled(self) -> None:
        """All that was fed was answered 2xx."""
        await asyncio.gather(*self._feeding)
        self._feeding.clear()

    async def death(self, victim: Victim, step: str, *, measured: str, fed: bool = True) -> None:
        """The victim (fed) has died at its failpoint, which it can only reach with work in hand."""
        if fed:
            self.feed(victim)
        try:
            code = await asyncio.wait_for(asyncio.shield(victim.ended), _DIE_SECONDS)
        except TimeoutError:
            self.differ(f"{victim.role} never came to the failpoint {step!r}")
            await self.end(victim)
            return
        if code != -signal.SIGKILL:
            raise Ended(f"{victim.role} ended with {code} before the failpoint {step!r}")
        self.kills.append(Kill(victim.role, f"behind {step!r}", 1, measured, self.elapsed()))

    async def kill_at_work(
        self, victim: Victim, in_flight: Callable[[], Awaitable[int]], *, measured: str
    ) -> None:
        """The victim was fed, and killed at a random moment at which it had something to do."""
        self.feed(victim)
        await asyncio.sleep(self.random.random() * 0.15)
        seen = 0

        async def busy() -> bool:
            nonlocal seen
            seen = await in_flight()
            return seen > 0

        await self.until(busy, f"{victim.role} to be at work", every=0.002)
        victim.signal(signal.SIGKILL)
        await victim.ended
        self.kills.append(Kill(victim.role, "at random", seen, measured, self.elapsed()))

    async def end(self, victim: Victim) -> None:
        """The victim is gone; nobody counts that."""
        victim.signal(signal.SIGKILL)
        await victim.ended

    def folder(self, name: str) -> Path:
        """A new folder of this run."""
        path = self.lab.home / f"{name}-{next(self.lab.numbers)}"
        path.mkdir(mode=0o700)
        return path

    def spawn(self, name: str, command: Sequence[str], **environment: str) -> subprocess.Popen[bytes]:
        """A server of this run alone."""
        inherited = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        with (self.lab.home / f"{name}.log").open("ab") as sink:
            process = subprocess.Popen(
                command,
                stdout=sink,
                stderr=sink,
                env=inherited | environment,
                start_new_session=True,
                cwd=HOME,
            )
        self._servers.append(process)
        return process

    def adopt(self, server: subprocess.Popen[bytes]) -> None:
        """The server is one of this run alone."""
        self._servers.append(server)

    def afterwards(self, clean: Callable[[], object]) -> None:
        """`clean` is called when all programs and servers of this run are gone."""
        self._afterwards.append(clean)

    def turn_to(self, port: int) -> None:
        """From here on the run's database is the one of that name at the PostgreSQL on `port`."""
        before = f":{self.environment['DATABASE_URL'].rsplit(':', 1)[1].split('/')[0]}/"
        for name in ("DATABASE_URL", "DATABASE_WORKER_URL"):
            self.environment[name] = self.environment[name].replace(before, f":{port}/")

    def judged_at(self, port: int) -> None:
        """What the run's database holds is looked up at the PostgreSQL on `port`."""
        here = f":{self.urls.superuser.rsplit(':', 1)[1].split('/')[0]}/"
        moved = {name: url.replace(here, f":{port}/") for name, url in asdict(self.urls).items()}
        self.urls = DatabaseUrls(**moved)

    async def listening(self, *needed: int) -> None:
        """Each of the ports accepts connections."""

        async def all_accept() -> bool:
            return all(ports.accepts(port) for port in needed)

        await self.until(all_accept, f"ports {needed} to be served", seconds=60)

    async def end_role(self, role: str) -> None:
        """All programs of that role are gone."""
        for victim in self._victims:
            if victim.role == role:
                await self.end(victim)

    async def end_all(self) -> None:
        """All programs of this run are gone, and nobody sends any more."""
        for task in self._feeding:
            task.cancel()
        await asyncio.gather(*self._feeding, return_exceptions=True)
        for server in self._servers:
            server.kill()
            server.wait()
        for victim in self._victims:
            await self.end(victim)
        for clean in self._afterwards:
            clean()

    async def until(
        self, condition: Callable[[], Awaitable[bool]], what: str, *, seconds: float = _READY_SECONDS,
        every: float = 0.02,
    ) -> None:  # fmt: skip
        """`condition` holds; TimeoutError names `what` was waited for."""
        deadline = time.monotonic() + seconds
        while not await condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {seconds:.0f} s for {what}")
            await asyncio.sleep(every)

    @asynccontextmanager
    async def database(self) -> AsyncIterator[asyncpg.Connection]:
        """A superuser's connection to the run's database."""
        connection = await asyncpg.connect(self.urls.superuser.replace("+asyncpg", ""))
        try:
            yield connection
        finally:
            connection.terminate()

    async def value(self, statement: str, *arguments: Any) -> Any:
        """One value."""
        async with self.database() as connection:
            return await connection.fetchval(statement, *arguments)

    async def behind(self) -> int:
        """Calls that were acknowledged and are not in the request log yet."""
        return len(self.sender.acknowledged) - int(
            await self.value("SELECT count(*) FROM api_requests_log") or 0
        )

    def log_of(self, role: str) -> bytes:
        """What the programs of `role` have logged in this run."""
        path = self.lab.zygote.logs / f"{role}.log"
        return path.read_bytes()[self.log_began :] if path.exists() else b""

    async def stopped(self, victim: Victim) -> bool:
        """True when it is stopped, as by kill -STOP."""
        return psutil.Process(victim.pid).status() == psutil.STATUS_STOPPED

    async def idle(self) -> None:
        """What was acknowledged is recorded, so that what follows finds a consumer that waits."""

        async def nothing() -> bool:
            return await self.behind() <= 0

        await self.until(nothing, "all that was acknowledged to be recorded", seconds=60)

    async def send(self, batches: Sequence[Batch]) -> None:
        """Every batch was taken in by a sound ingest."""
        if not any(v.role == "ingest" and v.alive for v in self._victims):
            await self.start("ingest")
        await self.sender.send(batches)

    def report(self) -> dict[str, Any]:
        """For the printed answer."""
        return {
            "seed": self.seed, "seconds": self.elapsed(), "calls": len(self.calls.made),
            "kills": [asdict(kill) for kill in self.kills], "notes": self.notes, "differences": self.differences,
        }  # fmt: skip


async def _accepts(port: str, victim: Victim) -> bool:
    if not victim.alive:
        raise Ended(f"ingest ended with {victim.ended.result()} at its start")
    return ports.accepts(int(port))


@asynccontextmanager
async def new_run(
    lab: Lab, *, row: int, number: int, seed: int, broken: str | None = None
) -> AsyncIterator[Run]:
    """A run whose every choice comes from `seed`; its programs and its database are gone afterwards."""
    urls = await lab.database()
    port = ports.free_port()
    chosen = random.Random(seed)
    environment = {
        "DATABASE_URL": urls.api, "DATABASE_WORKER_URL": urls.worker, "KAFKA_BOOTSTRAP_SERVERS": lab.kafka_address,
        # Never the same twice: a control must not fail for what another run left in its topic.
        "KAFKA_TOPIC_PREFIX": f"r{row}-{next(lab.numbers)}.",
        "REDIS_URL": "redis://127.0.0.1:1", "TOKEN_ISSUER": ADDRESS, "JWKS_URL": ADDRESS,
        "METERING_INGEST_TOKEN": INGEST_TOKEN, "METERING_NAMESPACE": NAMESPACE,
        "METERING_GRACE_SECONDS": "0.5", "METERING_ACK_TIMEOUT_SECONDS": "3", "METERING_BATCH_CALLS": "400",
        "METERING_BATCH_SECONDS": "0.05", "METERING_PUBLISH_SECONDS": "0.2", "METERING_FOLD_SECONDS": "0.05",
        "INGEST_PORT": str(port),
    }  # fmt: skip
    async with httpx.AsyncClient(timeout=10) as http:
        sender = Sender(f"http://127.0.0.1:{port}/v1/ingest/kong", http)
        calls = Calls(chosen, this_instant())
        run = Run(lab, number, seed, chosen, urls, calls, sender, environment, broken)
        run.log_began = len(run.log_of("consumer"))
        try:
            yield run
        finally:
            await run.end_all()
            name = urls.superuser.rsplit("/", 1)[1]
            await lab.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
