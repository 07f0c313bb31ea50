"""How far a log file was followed."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from metering.domain.file_position import FilePosition

_FIND = text(
    "SELECT inode, position, head_digest, head_bytes FROM file_position"
    " WHERE path = :path AND cluster_id = :cluster_id"
)
_PUT = text("""
    INSERT INTO file_position (path, cluster_id, inode, position, head_digest, head_bytes, updated_at)
    VALUES (:path, :cluster_id, :inode, :position, :head_digest, :head_bytes, :now)
    ON CONFLICT (path) DO UPDATE SET cluster_id = excluded.cluster_id, inode = excluded.inode,
        position = excluded.position, head_digest = excluded.head_digest, head_bytes = excluded.head_bytes,
        updated_at = excluded.updated_at""")


async def find(session: AsyncSession, path: str, *, cluster_id: str) -> FilePosition | None:
    """How far the file at `path` was taken into the request log of this cluster; None when it never was."""
    row = (await session.execute(_FIND, {"path": path, "cluster_id": cluster_id})).mappings().first()
    return FilePosition(**row) if row else None


async def put(
    session: AsyncSession, path: str, position: FilePosition, *, cluster_id: str, now: datetime
) -> None:
    """The file was taken into the request log of this cluster up to `position`."""
    values = asdict(position) | {"path": path, "cluster_id": cluster_id, "now": now}
    await session.execute(_PUT, values)
