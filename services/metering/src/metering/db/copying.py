"""COPY of rows that are packed already."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

_HEAD, _TAIL = b"PGCOPY\n\xff\r\n\x00" + bytes(8), b"\xff\xff"


async def driver_connection(session: AsyncSession) -> asyncpg.Connection:
    """The driver's connection of the session's transaction, which must have executed a statement before."""
    raw = await (await session.connection()).get_raw_connection()
    return raw.driver_connection


async def copy_packed(
    driver: asyncpg.Connection, table: str, columns: Sequence[str], packed: Iterable[bytes]
) -> None:
    """The rows that `domain.pack` makes are in the table; in the temporary one, where one of that name hides it."""

    # Packed as they are sent: PostgreSQL takes a portion in while the next one is made.
    async def portions() -> AsyncIterator[bytes]:
        yield _HEAD
        for portion in packed:
            yield portion
        yield _TAIL

    await driver.copy_to_table(table, source=portions(), columns=columns, format="binary")
