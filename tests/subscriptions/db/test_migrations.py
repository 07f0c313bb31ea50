"""The migrations make what the tables say."""

import asyncio
import sys

from devstack.embedded.databases import DatabaseUrls
from tests.support.databases import ROOT


async def test_alembic_finds_nothing_to_add(urls: DatabaseUrls) -> None:
    process = await asyncio.create_subprocess_exec(
        *[
            sys.executable,
            "-m",
            "alembic",
            "-c",
            str(ROOT / "services" / "subscriptions" / "alembic.ini"),
            "check",
        ],
        env={"DATABASE_OWNER_URL": urls.owner, "PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
