"""Follow Kong's file-log: what a killed gateway answered and could not post any more is in it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from common.clock import Clock
from common.db import Database
from metering.clients.kafka_log import KafkaLog
from metering.clients.log_file import beginning, is_read_to_end, read_chunk
from metering.db import file_positions
from metering.domain.client import CountryOf, nowhere
from metering.metrics import FILE_LOG_BYTES
from metering.usecases.ingest_lines import ingest_lines


async def follow_file(
    db: Database,
    kafka_log: KafkaLog,
    path: Path,
    *,
    namespace: str,
    clock: Clock,
    country_of: CountryOf = nowhere,
) -> int:
    """Everything that the log holds by now is taken in, and the position behind it is stored; how many lines.

    The position moves only after Kafka's acknowledgement, and belongs to the cluster that gave it: a crash repeats
    lines, and another cluster is given all that rotations have left; what was counted already is told by its request
    ids. Since when there is nothing more to read is stored too: cut-offs wait for it.
    """
    cluster_id = await kafka_log.cluster_id()
    async with db.begin() as session:
        position = await file_positions.find(session, str(path), cluster_id=cluster_id)
    position = position or await asyncio.to_thread(beginning, path)
    taken = 0
    while position is not None:
        looked_at = clock.now()
        chunk = await asyncio.to_thread(read_chunk, path, position)
        if chunk is None:
            if await asyncio.to_thread(is_read_to_end, path, position):
                async with db.begin() as session:
                    await file_positions.note_end(
                        session, str(path), position, cluster_id=cluster_id, read_to=looked_at
                    )
            break
        await ingest_lines(
            db, kafka_log, chunk.lines, namespace=namespace, clock=clock, country_of=country_of
        )
        taken += len(chunk.lines)
        moved = chunk.position.position - (position.position if position.inode == chunk.position.inode else 0)
        FILE_LOG_BYTES.inc(max(moved, 0))
        position = chunk.position
        async with db.begin() as session:
            await file_positions.put(session, str(path), position, cluster_id=cluster_id, now=clock.now())
    return taken
