"""One PostgreSQL server for a test run; a migrated template per service; a clone of it, with real commits, per test."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

import asyncpg
import psutil

from devstack.embedded import databases, ports, postgres, privileges
from devstack.embedded.databases import DatabaseUrls

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "test"
# A test server may forget everything in a crash; nothing here tests PostgreSQL itself. A statement is planned for all
# values at once, as on a connection that has run it five times: a partial index is not found by a parameter then.
OPTIONS = {
    "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "300",
    "plan_cache_mode": "force_generic_plan",
}  # fmt: skip
# A clone is some 300 small files: in memory it takes a tenth of the time. In a container this folder may be tiny.
MEMORY, ROOM_BYTES = Path("/dev/shm"), 2 * 1024**3


def memory_folder() -> Path | None:
    """Where a test server's data can lie in memory, without what a killed run has left there; None if nowhere."""
    if not os.access(MEMORY, os.W_OK):
        return None
    for left in MEMORY.glob("marketplace-test-*"):
        if not psutil.pid_exists(int(left.name.split("-")[2])):
            shutil.rmtree(left, ignore_errors=True)
    return MEMORY if shutil.disk_usage(MEMORY).free > ROOM_BYTES else None


class Databases:
    """The server of this run."""

    def __init__(self, server: postgres.Postgres, home: Path) -> None:
        self.server, self.home = server, home
        self._process: subprocess.Popen[bytes] | None = None
        self._templates: dict[str, asyncio.Task[None]] = {}
        self._numbers = itertools.count(1)

    @classmethod
    async def start(cls) -> Self:
        home = Path(tempfile.mkdtemp(prefix=f"marketplace-test-{os.getpid()}-", dir=memory_folder()))
        home.chmod(0o755)
        shared = privileges.data_root(ROOT / ".run")
        shared.mkdir(parents=True, exist_ok=True)
        server = postgres.Postgres(home / "data", postgres.binaries(shared), ports.free_port(), PASSWORD)
        await asyncio.to_thread(server.initialise)
        self = cls(server, home)
        self._process = server.start(home / "postgres.log", options=OPTIONS)
        await databases.wait_ready(server.url)
        return self

    async def stop(self) -> None:
        if self._process is not None:
            await asyncio.to_thread(postgres.Postgres.stop, self._process)
        shutil.rmtree(self.home, ignore_errors=True)

    async def clone(self, service: str) -> DatabaseUrls:
        """A database of its own, migrated, with the service's three roles."""
        if service not in self._templates:
            self._templates[service] = asyncio.create_task(self._template(service))
        await self._templates[service]
        return await self.clone_of(service)

    async def clone_of(self, service: str) -> DatabaseUrls:
        """A copy of the database `service` as it stands."""
        name = f"{service}_{next(self._numbers)}"
        await self._execute(
            f"CREATE DATABASE {name} TEMPLATE {service} OWNER {service}_owner STRATEGY file_copy"
        )
        return self.urls(service, name)

    async def drop(self, urls: DatabaseUrls) -> None:
        """The clone is gone, whoever still held it."""
        await self._execute(f"DROP DATABASE IF EXISTS {urls.api.rsplit('/', 1)[1]} WITH (FORCE)")

    async def _template(self, service: str) -> None:
        await databases.provision(self.server.url, service, PASSWORD)
        owner = self.urls(service, service).owner
        folder = ROOT / "services" / service.replace("_", "-")
        command = [sys.executable, "-m", "common.migrations", f"{folder / 'alembic.ini'}=DATABASE_OWNER_URL"]
        process = await asyncio.create_subprocess_exec(
            *command, env={"DATABASE_OWNER_URL": owner, "PATH": "/usr/bin:/bin"}, stderr=subprocess.PIPE
        )
        _, problems = await process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"migrations of {service} failed:\n{problems.decode()}")

    def urls(self, service: str, database: str) -> DatabaseUrls:
        return databases.urls(
            service, port=self.server.port, password=PASSWORD, superuser_password=PASSWORD, database=database
        )

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.server.url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()
