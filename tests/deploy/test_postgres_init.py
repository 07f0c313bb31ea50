"""deploy/postgres/init.sh, run against a real server; then the migrations by the roles that it made."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from common.migrations import upgrade
from tests.deploy.facts import ROOT, SERVICES
from tests.support.databases import PASSWORD, Databases

SCRIPT = ROOT / "deploy/postgres/init.sh"
# One that would end a badly quoted statement.
AWKWARD = "it's; DROP ROLE postgres --\"$HOME"

pytestmark = pytest.mark.skipif(
    shutil.which("psql") is None or shutil.which("bash") is None, reason="needs bash and psql"
)


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Databases]:
    """A server of its own, with what the script makes: roles belong to a whole server."""
    started = await Databases.start()
    passwords = every_password()
    del passwords["ACCOUNTS_WORKER_PASSWORD"]
    code, said = await run(started, passwords)
    assert code != 0
    assert "ACCOUNTS_WORKER_PASSWORD is not set" in said
    code, said = await run(
        started, every_password()
    )  # nothing was made before, or this one would stumble over it
    assert (code, said) == (0, "")
    yield started
    await started.stop()


async def run(server: Databases, passwords: dict[str, str]) -> tuple[int, str]:
    environment = {
        "PATH": os.environ["PATH"],  # noqa: TID251 - to find psql
        "POSTGRES_USER": "postgres", "PGHOST": "127.0.0.1", "PGPORT": str(server.server.port), "PGPASSWORD": PASSWORD,
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        "bash", str(SCRIPT), env=environment | passwords,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, said.decode()


def every_password() -> dict[str, str]:
    names = [f"{s.package.upper()}_{role}_PASSWORD" for s in SERVICES for role in ("OWNER", "API", "WORKER")]
    return {name: "plain" if "OWNER" in name else f"{AWKWARD}{number}" for number, name in enumerate(names)}


async def connect(server: Databases, database: str, role: str, password: str) -> asyncpg.Connection:
    return await asyncpg.connect(
        host="127.0.0.1", port=server.server.port, user=role, password=password, database=database
    )


async def test_the_script_makes_what_the_services_need_and_no_more(server: Databases) -> None:
    passwords = every_password()
    for service in SERVICES:
        for role in ("owner", "api", "worker"):
            password = passwords[f"{service.package.upper()}_{role.upper()}_PASSWORD"]
            connection = await connect(server, service.package, f"{service.package}_{role}", password)
            row = await connection.fetchrow(
                "SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
            )
            assert row is not None
            assert (row["rolsuper"], row["rolbypassrls"]) == (False, role == "worker")
            creates = await connection.fetchval("SELECT has_schema_privilege('public', 'CREATE')")
            assert creates is (role == "owner")
            await connection.close()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connect(server, "billing", "catalog_api", passwords["CATALOG_API_PASSWORD"])


@pytest.mark.parametrize("service", SERVICES, ids=lambda s: s.folder)
async def test_the_migrations_run_as_the_owner_that_the_script_made(
    server: Databases, service: object
) -> None:
    folder, package = service.folder, service.package  # type: ignore[attr-defined]
    url = f"postgresql+asyncpg://{package}_owner:plain@127.0.0.1:{server.server.port}/{package}"
    await asyncio.to_thread(upgrade, Path(ROOT / "services" / folder / "alembic.ini"), url)
