"""A copy of the lab's PostgreSQL, made by pg_basebackup: a server of one run alone."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

from devstack.embedded import databases, ports
from devstack.embedded.postgres import SUPERUSER, Postgres
from devstack.embedded.privileges import own_by_unprivileged, unprivileged_user
from devstack.faults.lab import DURABLE, PASSWORD
from devstack.faults.run import Run


@dataclass(slots=True)
class Copy:
    """A running copy."""

    run: Run
    server: Postgres
    log: Path
    process: subprocess.Popen[bytes]

    @classmethod
    async def start(cls, run: Run, folder: Path, *, source: int, standby: bool) -> Copy:
        """A copy of the PostgreSQL on the port `source` runs in `folder`, alone or streaming from there."""
        program = Path(run.lab.postgres_server.bin) / "pg_basebackup"
        own_by_unprivileged(folder)
        server = Postgres(folder / "postgres", run.lab.postgres_server.bin, ports.free_port(), PASSWORD)
        command = [
            str(program), "-D", str(server.data), "-h", "127.0.0.1", "-p", str(source), "-U", SUPERUSER,
            "-X", "stream", "-c", "fast", "--no-sync", *["-R"] * standby,
        ]  # fmt: skip
        done = await asyncio.to_thread(
            subprocess.run, command, env={"PGPASSWORD": PASSWORD, "PATH": os.environ["PATH"]}, cwd="/",
            user=unprivileged_user(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"pg_basebackup failed: {done.stderr[-500:]}")
        log = run.lab.home / f"{folder.name}.log"
        self = cls(run, server, log, server.start(log, options=DURABLE))
        run.adopt(self.process)
        run.afterwards(self.kill)
        await databases.wait_ready(server.url)
        return self

    def kill(self) -> None:
        """The server is gone with its backends, as by a power cut."""
        if self.process.poll() is not None:
            return
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        for child in family:
            if child.is_running():
                child.send_signal(signal.SIGKILL)
        self.process.wait()

    async def answers(self) -> None:
        """It answers; started again where it had ended."""
        while True:
            if self.process.poll() is not None:
                self.process = self.server.start(self.log, options=DURABLE)
                self.run.adopt(self.process)
            try:
                await databases.wait_ready(self.server.url, seconds=2)
            except TimeoutError:
                continue
            return
