"""How far a log file was followed."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from metering.domain.file_position import FilePosition

_FIND = text("SELECT inode, position, head_digest, head_bytes FROM file_position WHERE path = :path")
_PUT = text("""
    INSERT INTO file_position (path, inode, position, head_digest, head_bytes, updated_at)
    VALUES (:path, :inode, :position, :head_digest, :head_bytes, :now)
    ON CONFLICT (path) DO UPDATE SET inode = excluded.inode, position = excluded.position,
        head_digest = excluded.head_digest, head_bytes = excluded.head_bytes, updated_at = excluded.updated_at""")


async def find(session: AsyncSession, path: str) -> FilePosition | None:
    """The stored position in the file at `path`, if there is one."""
    row = (await session.execute(_FIND, {"path": path})).mappings().first()
    return FilePosition(**row) if row else None


async def put(session: AsyncSession, path: str, position: FilePosition, *, now: datetime) -> None:
    """The file was followed up to `position`."""
    await session.execute(_PUT, asdict(position) | {"path": path, "now": now})
