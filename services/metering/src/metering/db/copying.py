"""COPY of rows that are packed already."""

from __future__ import annotations

import io
from collections.abc import Sequence

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession


async def driver_connection(session: AsyncSession) -> asyncpg.Connection:
    """The driver's connection of the session's transaction, which must have executed a statement before."""
    raw = await (await session.connection()).get_raw_connection()
    return raw.driver_connection


async def copy_packed(driver: asyncpg.Connection, table: str, columns: Sequence[str], packed: bytes) -> None:
    """The rows that `domain.pack` made are in the table: in the temporary one, where one of that name hides another."""
    await driver.copy_to_table(table, source=io.BytesIO(packed), columns=columns, format="binary")
