from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from devstack.embedded.databases import DatabaseUrls

ROOT = Path(__file__).resolve().parents[3]


async def test_the_tables_are_what_the_migrations_make(urls: DatabaseUrls) -> None:
    ini = ROOT / "services" / "billing" / "alembic.ini"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "alembic", "-c", str(ini), "check"),
        env={"DATABASE_OWNER_URL": urls.owner, "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
