"""The stored position of a log that retention overtook."""

from __future__ import annotations

from datetime import UTC, datetime

from common.db import Database
from metering.db import positions

TOPIC = "gateway.requests.v1"
NOW = datetime(2026, 11, 15, tzinfo=UTC)


async def test_a_position_is_adopted_forward_in_its_cluster_and_anywhere_in_another(
    worker_db: Database,
) -> None:
    for cluster, start, expected in (("c1", 10, 10), ("c1", 4, 10), ("c1", 13, 13), ("c2", 0, 0)):
        async with worker_db.begin() as session:
            await positions.adopt(session, TOPIC, cluster_id=cluster, starts={0: start}, now=NOW)
            found = await positions.lock(session, TOPIC)
        assert (found[0].cluster_id, found[0].next_offset) == (cluster, expected)
