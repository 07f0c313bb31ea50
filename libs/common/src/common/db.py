"""The database: one engine, transactions that carry who asks, and the only place that commits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import MetaData, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

_SET_SCOPE = text(
    "SELECT set_config('app.organisation_id', :organisation, true), set_config('app.platform_admin', :admin, true)"
)


def make_metadata() -> MetaData:
    """Metadata whose constraints are named by one convention, so that a migration can name them too."""
    return MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows a transaction may see. Row-level security reads it, so a forgotten WHERE leaks nothing."""

    organisation_id: UUID | None = None
    platform_admin: bool = False


class Database:
    """A pool of connections as one PostgreSQL role. `url` has the asyncpg driver; `name` shows in pg_stat_activity.

    A statement that takes longer than `statement_seconds` fails.
    """

    def __init__(self, url: str, *, name: str, pool_size: int = 5, statement_seconds: float = 60.0) -> None:
        self.url = url
        self.engine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_pre_ping=True,
            hide_parameters=True,  # an error's text must not carry what was stored into the log
            connect_args={
                "server_settings": {"application_name": name},
                "timeout": 10,
                "command_timeout": statement_seconds,
            },
        )
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @asynccontextmanager
    async def begin(self, scope: Scope | None = None) -> AsyncIterator[AsyncSession]:
        """One transaction: committed when the block ends, rolled back when it raises.

        Without a `scope` the API role sees public rows only; the worker role sees all.
        """
        async with self._sessions() as session, session.begin():
            await set_scope(session, scope or Scope())
            yield session

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncSession]:
        """One transaction that sees the database as its first statement found it; rolled back when the block ends.

        For a role that sees all rows: nobody asks in it.
        """
        async with self.engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            async with AsyncSession(connection) as session:
                yield session

    async def ping(self) -> None:
        """The server answers; raises when it does not."""
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def dispose(self) -> None:
        """All connections are closed."""
        await self.engine.dispose()


async def set_scope(session: AsyncSession, scope: Scope) -> None:
    """The rest of this transaction, and nothing after it, runs as `scope`."""
    organisation = str(scope.organisation_id) if scope.organisation_id else ""
    await session.execute(
        _SET_SCOPE, {"organisation": organisation, "admin": "on" if scope.platform_admin else ""}
    )
