"""How far a log file was followed."""

from __future__ import annotations

from collections.abc import Collection
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
        read_to = CASE WHEN file_position.cluster_id = excluded.cluster_id THEN file_position.read_to END,
        updated_at = excluded.updated_at""")
_IS_NOTED = text("""
    SELECT read_to > CAST(:read_to AS timestamptz) - interval '1 second' AND position = :position AND inode = :inode
    FROM file_position WHERE path = :path AND cluster_id = :cluster_id""")
_NOTE_END = text("UPDATE file_position SET read_to = :read_to, updated_at = :read_to WHERE path = :path")
_BEHIND = text("""
    SELECT path, cluster_id <> ALL(:clusters) OR coalesce(read_to < :instant, true) AS behind
    FROM file_position ORDER BY path""")
_FORGET = text("DELETE FROM file_position WHERE updated_at < :before")


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


async def note_end(
    session: AsyncSession, path: str, position: FilePosition, *, cluster_id: str, read_to: datetime
) -> None:
    """At `read_to` there was nothing to read after `position`. Noted once a second."""
    values = asdict(position) | {"path": path, "cluster_id": cluster_id, "read_to": read_to}
    if not await session.scalar(_IS_NOTED, values):
        await put(session, path, position, cluster_id=cluster_id, now=read_to)
        await session.execute(_NOTE_END, values)


async def are_read_past(
    session: AsyncSession, instant: datetime, *, clusters: Collection[str]
) -> dict[str, bool]:
    """Of each log that is followed, by whichever worker: whether these clusters have all that was in it then."""
    rows = await session.execute(_BEHIND, {"instant": instant, "clusters": list(clusters)})
    return {row.path: not row.behind for row in rows}


async def forget_abandoned(session: AsyncSession, *, before: datetime) -> None:
    """Logs that nobody has followed since `before` are unknown again."""
    await session.execute(_FORGET, {"before": before})
