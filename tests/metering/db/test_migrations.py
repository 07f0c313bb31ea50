from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from devstack.embedded.databases import DatabaseUrls

ROOT = Path(__file__).resolve().parents[3]


async def test_the_tables_are_what_the_migrations_make(urls: DatabaseUrls) -> None:
    command = [sys.executable, "-m", "alembic", "-c", str(ROOT / "services/metering/alembic.ini"), "check"]
    environment = {**os.environ, "DATABASE_OWNER_URL": urls.owner}  # noqa: TID251
    process = await asyncio.create_subprocess_exec(*command, env=environment, stderr=-1, stdout=-1)
    out, problems = await process.communicate()
    assert process.returncode == 0, (out + problems).decode()
