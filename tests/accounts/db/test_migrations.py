from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from devstack.embedded.databases import DatabaseUrls

SERVICE = Path(__file__).resolve().parents[3] / "services" / "accounts"


async def test_the_migrations_make_exactly_the_tables_that_the_code_knows(urls: DatabaseUrls) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "alembic", "-c", str(SERVICE / "alembic.ini"), "check",
        env={"DATABASE_OWNER_URL": urls.owner, "PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert b"No new upgrade operations detected" in said
