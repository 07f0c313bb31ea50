"""The migrations make exactly the tables that the code knows."""

from __future__ import annotations

import asyncio
import os
import sys

from devstack.embedded.databases import DatabaseUrls
from tests.kong_sync.conftest import ROOT


async def test_alembic_finds_nothing_to_add(urls: DatabaseUrls) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "alembic", "-c", str(ROOT / "services/kong-sync/alembic.ini"), "check",
        env={**os.environ, "DATABASE_OWNER_URL": urls.owner},  # noqa: TID251 - a child process
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
