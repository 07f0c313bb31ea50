"""How far the request log topic was read, in `kafka_offset`: the offsets of truth, and the fence."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_LOCK = text("""
    SELECT partition, cluster_id, next_offset, watermark_at FROM kafka_offset
    WHERE topic = :topic AND (CAST(:partitions AS int[]) IS NULL OR partition = ANY (CAST(:partitions AS int[])))
    ORDER BY partition FOR UPDATE""")
_ADOPT = text("""
    INSERT INTO kafka_offset (topic, partition, cluster_id, next_offset, high_watermark, updated_at)
    VALUES (:topic, :partition, :cluster, :next, 0, :now)
    ON CONFLICT (topic, partition) DO UPDATE SET
        cluster_id = excluded.cluster_id, next_offset = excluded.next_offset, high_watermark = 0,
        last_digest = NULL, watermark_at = NULL, updated_at = excluded.updated_at
    WHERE kafka_offset.cluster_id <> excluded.cluster_id OR kafka_offset.next_offset < excluded.next_offset""")
_ADVANCE = text("""
    UPDATE kafka_offset SET next_offset = :next, last_digest = :digest, high_watermark = :high, updated_at = :now,
        watermark_at = GREATEST(watermark_at, CAST(:watermark AS timestamptz))
    WHERE topic = :topic AND partition = :partition""")
_IDLE = text("""
    UPDATE kafka_offset SET watermark_at = GREATEST(watermark_at, CAST(:watermark AS timestamptz))
    WHERE topic = :topic AND partition = :partition AND cluster_id = :cluster AND next_offset = :next""")
_AS_OF = text("""
    SELECT CASE WHEN count(*) = count(watermark_at) THEN min(watermark_at) END
    FROM kafka_offset WHERE topic = :topic""")
_RESET = text("DELETE FROM kafka_offset WHERE topic = :topic")


@dataclass(frozen=True, slots=True)
class PartitionState:
    """One partition's stored position; `watermark_at` is the time up to which it was read, None while unknown."""

    cluster_id: str
    next_offset: int
    watermark_at: datetime | None


@dataclass(frozen=True, slots=True)
class Advance:
    """Where one partition stands after a batch."""

    next_offset: int
    digest: bytes
    high_watermark: int
    watermark_at: datetime


async def lock(
    session: AsyncSession, topic: str, *, partitions: Collection[int] | None = None
) -> dict[int, PartitionState]:
    """The stored positions, all or those of `partitions`, locked until this transaction ends.

    Meanwhile nobody else records calls of these partitions, and nobody closes a period, which wants all of them.
    """
    parameters = {"topic": topic, "partitions": None if partitions is None else list(partitions)}
    rows = (await session.execute(_LOCK, parameters)).all()
    return {row.partition: PartitionState(row.cluster_id, row.next_offset, row.watermark_at) for row in rows}


async def adopt(
    session: AsyncSession, topic: str, *, cluster_id: str, starts: Mapping[int, int], now: datetime
) -> None:
    """Every partition has a row; one of another cluster begins again at its start, and one that retention overtook
    goes on at the log's, both with nothing known to be read.
    """
    for partition, offset in sorted(starts.items()):
        await session.execute(
            _ADOPT,
            {"topic": topic, "partition": partition, "cluster": cluster_id, "next": offset, "now": now},
        )


async def advance(session: AsyncSession, topic: str, moves: Mapping[int, Advance], *, now: datetime) -> None:
    """The partitions stand where `moves` says. A watermark never goes back."""
    for partition, move in sorted(moves.items()):
        await session.execute(
            _ADVANCE,
            {
                "topic": topic, "partition": partition, "next": move.next_offset, "digest": move.digest,
                "high": move.high_watermark, "watermark": move.watermark_at, "now": now,
            },
        )  # fmt: skip


async def advance_idle(
    session: AsyncSession,
    topic: str,
    *,
    cluster_id: str,
    positions: Mapping[int, int],
    watermarks: Mapping[int, datetime],
) -> None:
    """Partitions that were found read to their end are known to be so, if they still stand where we think."""
    for partition, watermark in sorted(watermarks.items()):
        await session.execute(
            _IDLE,
            {
                "topic": topic, "partition": partition, "cluster": cluster_id, "next": positions[partition],
                "watermark": watermark,
            },
        )  # fmt: skip


async def as_of(session: AsyncSession, topic: str) -> datetime | None:
    """Up to when everything that was logged is counted; None while a partition has not been read to an end."""
    found: datetime | None = await session.scalar(_AS_OF, {"topic": topic})
    return found


async def forget(session: AsyncSession, topic: str) -> None:
    """The topic will be read from its beginning; what is already in the log is not counted again."""
    await session.execute(_RESET, {"topic": topic})
