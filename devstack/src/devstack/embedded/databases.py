"""A database and its three roles for each service, made by the superuser."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import asyncpg

SERVICES = ("accounts", "catalog", "subscriptions", "metering", "billing", "kong_sync")


@dataclass(frozen=True, slots=True)
class DatabaseUrls:
    """One database as each of its roles sees it (SQLAlchemy URLs with the asyncpg driver)."""

    owner: str
    api: str
    worker: str
    superuser: str


def urls(
    service: str, *, port: int, password: str, superuser_password: str, database: str | None = None
) -> DatabaseUrls:
    """The URLs of `service`'s database, or of the clone named `database`."""

    def url(role: str, secret: str) -> str:
        return f"postgresql+asyncpg://{role}:{secret}@127.0.0.1:{port}/{database or service}"

    return DatabaseUrls(
        owner=url(f"{service}_owner", password), api=url(f"{service}_api", password),
        worker=url(f"{service}_worker", password), superuser=url("postgres", superuser_password),
    )  # fmt: skip


async def wait_ready(superuser_url: str, *, seconds: float = 60) -> None:
    """The server answers queries; TimeoutError when it does not within `seconds` (crash recovery included)."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            connection = await asyncpg.connect(superuser_url, timeout=5)
        except (OSError, asyncpg.CannotConnectNowError, TimeoutError) as error:
            if time.monotonic() > deadline:
                raise TimeoutError("PostgreSQL does not answer.") from error
            await asyncio.sleep(0.05)
        else:
            await connection.close()
            return


async def provision(superuser_url: str, service: str, password: str) -> None:
    """Database `service` with its owner, its API role and its worker role exists; asked again, nothing changes.

    The worker bypasses row-level security: it serves every organisation, and COPY is refused on a table with
    row-level security for a role that is subject to it.
    """
    connection = await asyncpg.connect(superuser_url)
    try:
        for role, extra in (("owner", ""), ("api", ""), ("worker", "BYPASSRLS")):
            name = f"{service}_{role}"
            exists = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name)
            verb = "ALTER" if exists else "CREATE"
            await connection.execute(f"{verb} ROLE {name} LOGIN {extra} PASSWORD '{password}'")
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", service):
            await connection.execute(f"CREATE DATABASE {service} OWNER {service}_owner")
            await connection.execute(f"REVOKE ALL ON DATABASE {service} FROM PUBLIC")
            await connection.execute(
                f"GRANT CONNECT, TEMPORARY ON DATABASE {service} TO {service}_api, {service}_worker"
            )
    finally:
        await connection.close()
    inside = await asyncpg.connect(superuser_url.rsplit("/", 1)[0] + f"/{service}")
    try:
        await inside.execute(
            f"CREATE EXTENSION IF NOT EXISTS btree_gist; ALTER SCHEMA public OWNER TO {service}_owner"
        )
        await inside.execute(f"GRANT USAGE ON SCHEMA public TO {service}_api, {service}_worker")
    finally:
        await inside.close()
