"""What a process takes, and a PostgreSQL of the bench's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from devstack.embedded import databases, ports, postgres, privileges

HOME = Path(__file__).parents[2]


@dataclass
class Peak:
    """The most memory that a process took while it was watched, in MiB."""

    process: psutil.Process
    mib: float = 0.0

    async def watch(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            while True:
                self.mib = max(self.mib, self.process.memory_info().rss / 2**20)
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def peak_of(pid: int) -> AsyncIterator[Peak]:
    """The memory of the process while the block runs."""
    peak = Peak(psutil.Process(pid))
    watching = asyncio.create_task(peak.watch())
    try:
        yield peak
    finally:
        watching.cancel()


@contextlib.asynccontextmanager
async def database() -> AsyncIterator[str]:
    """The URL of a database of kong-sync's, on a server of its own that is gone afterwards."""
    shared = privileges.data_root(HOME / ".run")
    shared.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="marketplace-bench-"))
    home.chmod(0o755)
    server = postgres.Postgres(
        home / "data", postgres.binaries(shared), ports.free_port(), secrets.token_hex(8)
    )
    process: subprocess.Popen[bytes] | None = None
    try:
        await asyncio.to_thread(server.initialise)
        process = server.start(home / "log")
        await databases.wait_ready(server.url)
        await databases.provision(server.url, "kong_sync", server.password)
        urls = databases.urls(
            "kong_sync", port=server.port, password=server.password, superuser_password=server.password
        )
        wanted = f"{HOME / 'services' / 'kong-sync' / 'alembic.ini'}=DATABASE_OWNER_URL"
        environment = {**os.environ, "DATABASE_OWNER_URL": urls.owner}  # noqa: TID251 - a child process
        migrating = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "common.migrations", wanted, env=environment, stderr=subprocess.DEVNULL
        )
        if await migrating.wait():
            raise SystemExit("The migrations of kong-sync failed.")
        yield urls.worker
    finally:
        if process is not None:
            postgres.Postgres.stop(process)
        shutil.rmtree(home, ignore_errors=True)
