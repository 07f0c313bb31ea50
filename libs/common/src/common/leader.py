"""One active replica at a time, by a session-level advisory lock on a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from common.db import Database

_RETRY_SECONDS = 0.5


class LeadershipLost(Exception):
    """The connection that held the lock is gone: somebody else may be the leader by now."""


class Leader:
    """A held lock."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    def check(self) -> None:
        """LeadershipLost when the connection is known to be gone; another may lead for a moment before it is known."""
        if self._connection.is_closed():
            raise LeadershipLost


@asynccontextmanager
async def lock_connection(db: Database) -> AsyncIterator[asyncpg.Connection]:
    """A connection for session-level locks alone. PostgreSQL lets go of them when it ends, or the process dies."""
    connection = await asyncpg.connect(db.url.replace("+asyncpg", ""), timeout=10)
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


@asynccontextmanager
async def leadership(db: Database, name: str, stop: asyncio.Event) -> AsyncIterator[Leader]:
    """Wait until this process holds the lock `name` (or `stop` is set), and release it at the end.

    It is for economy, not for exactness: work that must not be done twice needs its own fence.
    """
    async with lock_connection(db) as connection:
        while not stop.is_set():
            if await connection.fetchval("SELECT pg_try_advisory_lock(hashtext($1))", name):
                break
            await asyncio.sleep(_RETRY_SECONDS)
        yield Leader(connection)
