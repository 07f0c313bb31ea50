"""The supervisor: starts every process, restarts what dies and says so, stops all of it cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import TypeVar

import psutil

from devstack.embedded import databases, ports
from devstack.stack import state as states
from devstack.stack.config import Config
from devstack.stack.layout import SERVICES, package
from devstack.stack.programs import Program, postgres_server
from devstack.stack.state import StackState

T = TypeVar("T")
_READY_SECONDS = 120.0
_STOP_SECONDS = 15.0
_LOG_BYTES = 32 * 1024 * 1024
_LONGEST_WAIT = 5.0
# A proxy that the environment names does not lead to the loopback.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class StartFailed(Exception):
    """A step of the start did not succeed; the text says what to look at."""


class Supervisor:
    """Owns the processes of one stack from start to stop. Every process is its direct child."""

    def __init__(self, config: Config, state: StackState) -> None:
        self._config, self.state = config, state
        self._stopping = asyncio.Event()
        self._children: dict[str, asyncio.subprocess.Process] = {}
        self._programs: dict[str, Program] = {}
        self._watchers: list[asyncio.Task[None]] = []

    def stop(self) -> None:
        """Ask for a clean stop."""
        self._stopping.set()

    @property
    def stopping(self) -> asyncio.Event:
        """Set when a stop was asked for."""
        return self._stopping

    def save(self) -> None:
        """Tell the others what is going on."""
        try:
            self.state.save(self._config.layout)
        except OSError:
            # A full disk must not end the supervision of what runs; a start that cannot be told of has failed.
            if self.state.phase == "starting":
                raise

    async def step(self, name: str, work: Awaitable[T]) -> T:
        """Run one step of the start, shown while it runs, and give its result; StartFailed names it when it fails."""
        self.state.steps[name] = "running"
        self.save()
        try:
            result = await work
        except Exception as error:
            self.state.steps[name] = "failed"
            self.save()
            raise StartFailed(f"{name}: {error}") from error
        self.state.steps[name] = "done"
        self.save()
        return result

    async def start(self, programs: Sequence[Program]) -> None:
        """All of `programs` run and are ready."""
        async with asyncio.TaskGroup() as group:
            for program in programs:
                group.create_task(self.step(program.name, self._start(program)))

    async def _start(self, program: Program) -> None:
        await self._spawn(program, restarts=0)
        self._watchers.append(asyncio.create_task(self._watch(program)))
        await self._until_ready(program)

    async def _spawn(self, program: Program, *, restarts: int) -> None:
        log = _log_file(self._config.layout.logs / f"{program.name}.log")
        with log.open("ab") as sink:
            child = await asyncio.create_subprocess_exec(
                *program.command(), stdin=asyncio.subprocess.DEVNULL, stdout=sink, stderr=sink,
                env=program.environment, user=program.user, start_new_session=True,
                cwd="/" if program.user else self._config.layout.home,
            )  # fmt: skip
        self._children[program.name], self._programs[program.name] = child, program
        with contextlib.suppress(psutil.NoSuchProcess):
            seen = states.observed(child.pid)
            seen.restarts = restarts
            self.state.processes[program.name] = seen
        self.save()

    async def _watch(self, program: Program) -> None:
        """Start `program` again whenever it ends without being asked to."""
        restarts, wait = 0, 0.1
        while not self._stopping.is_set():
            began = time.monotonic()
            code = await self._children[program.name].wait()
            if self._stopping.is_set():
                return
            restarts += 1
            wait = 0.1 if time.monotonic() - began > 10 else min(wait * 2, _LONGEST_WAIT)
            self.state.say(f"{_now()} {program.name} ended ({_reason(code)}); started again ({restarts})")
            self.save()
            await self._spawn_again(program, restarts=restarts, wait=wait)
            # Not awaited: a process that dies again before it is ready must be seen at once.
            readiness = asyncio.create_task(self._until_ready(program))
            readiness.add_done_callback(_ignore_failure)

    async def _spawn_again(self, program: Program, *, restarts: int, wait: float) -> None:
        """`program` was started once more, after as many attempts as that took."""
        while True:
            await asyncio.sleep(wait)
            try:
                return await self._spawn(program, restarts=restarts)
            except (
                OSError,
                RuntimeError,
            ) as error:  # no memory, no file descriptor, a program being replaced
                wait = min(wait * 2, _LONGEST_WAIT)
                self.state.say(
                    f"{_now()} {program.name} could not be started ({error}); again in {wait:.1f} s"
                )
                self.save()

    async def _until_ready(self, program: Program) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not await asyncio.to_thread(_answers, program.ready):
            if time.monotonic() > deadline or (
                self.state.phase == "starting" and self._died_for_good(program)
            ):
                raise StartFailed(f"does not come up; see {self._config.layout.logs / program.name}.log")
            if self._stopping.is_set():
                raise StartFailed("stopped while starting")
            await asyncio.sleep(0.1)
        if program.name in self.state.processes:
            self.state.processes[program.name].ready = True
        self.save()

    def _died_for_good(self, program: Program) -> bool:
        process = self.state.processes.get(program.name)
        return process is not None and process.restarts >= 5

    async def stop_all(self, order: Sequence[Sequence[str]]) -> None:
        """Every process has ended: asked politely group by group, killed after a while."""
        self._stopping.set()
        self.state.phase = "stopping"
        self.save()
        for watcher in self._watchers:
            watcher.cancel()
        for group in order:
            async with asyncio.TaskGroup() as tasks:
                for name in group:
                    if name in self._children:
                        tasks.create_task(self._end(name))

    async def _end(self, name: str) -> None:
        child, number = self._children[name], signal.Signals[self._programs[name].stop_signal]
        if child.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(number)
        try:
            await asyncio.wait_for(child.wait(), _STOP_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
        self.state.processes.pop(name, None)
        self.save()


async def migrate(config: Config) -> None:
    """Every service's database exists and has all its migrations."""
    server = postgres_server(config)
    await databases.wait_ready(server.url)
    for service in SERVICES:
        await databases.provision(server.url, package(service), config.secrets["database_roles"])
    environment = {"PATH": os.environ.get("PATH", "")}
    arguments = []
    for service in SERVICES:
        variable = f"{package(service).upper()}_OWNER_URL"
        environment[variable] = config.database(service).owner
        arguments.append(f"{config.layout.home / 'services' / service / 'alembic.ini'}={variable}")
    log = config.layout.logs / "migrations.log"
    with log.open("ab") as sink:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "common.migrations", *arguments, env=environment, stdout=sink, stderr=sink
        )
    if await process.wait() != 0:
        raise StartFailed(f"migrations failed; see {log}")


def _ignore_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()


def _answers(ready: str | int) -> bool:
    if isinstance(ready, int):
        return ports.accepts(ready)
    try:
        with _DIRECT.open(ready, timeout=2) as answer:
            return bool(200 <= answer.status < 300)
    except (OSError, http.client.HTTPException):
        return False


def _log_file(path: Path) -> Path:
    """The log to append to; a long one is kept as `.1` and begun anew."""
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path


def _reason(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _now() -> str:
    return time.strftime("%H:%M:%S")
