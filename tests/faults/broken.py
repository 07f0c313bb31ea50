"""The consumer made wrong on purpose, one way each: a fault suite that does not notice proves nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

import metering.consumers.requests as consumer
from common.steps import Passed
from metering.db import positions, request_log
from metering.db.positions import Advance
from metering.domain.batch import Added, Batch, read_batch
from metering.usecases.record_calls import Log, Recorded, record_calls

UNIQUE_INDEX = "pk_api_requests_log"


async def _offsets_first(
    session: AsyncSession, batch: Batch, *, log: Log, moves: Mapping[int, Advance], now: datetime, unseen: bool,
    passed: Passed,
) -> Recorded:  # fmt: skip
    async with AsyncSession(session.bind) as earlier, earlier.begin():
        await positions.lock(earlier, log.topic)
        await positions.advance(earlier, log.topic, moves, now=now)
    moved = {**log.positions, **{partition: move.next_offset for partition, move in moves.items()}}
    log = Log(log.topic, log.cluster_id, moved)
    return await record_calls(session, batch, log=log, moves=moves, now=now, unseen=unseen, passed=passed)


def offsets_before_data() -> None:
    """The offsets are committed in a transaction of their own, before what they stand for."""
    setattr(consumer, "record_calls", _offsets_first)  # noqa: B010 - the name that the consumer looks up


def rollups_count_duplicates() -> None:
    """What a batch holds is summed up, whether its rows were new or not."""
    shipped = request_log.insert_new

    async def insert_and_return_all(session: AsyncSession, batch: Batch, *, unseen: bool) -> Added:
        await shipped(session, batch, unseen=unseen)
        return batch.added()

    request_log.insert_new = insert_and_return_all


def without_unique_index() -> None:
    """Nothing tells a call that was there before. The database must have lost UNIQUE_INDEX."""
    clause = "ON CONFLICT (started_at, request_id) DO NOTHING"
    assert clause in request_log._INSERT
    request_log._INSERT = request_log._INSERT.replace(clause, "")


def dedupe_by_body() -> None:
    """A record is passed over when its bytes were seen before, and nothing else tells a call that was there before."""
    without_unique_index()
    seen = set[bytes]()

    def read_unseen(records: Sequence[Any], *more: Any, **named: Any) -> Batch:
        fresh = {digest: r for r in records if (digest := hashlib.sha256(r.value).digest()) not in seen}
        seen.update(fresh)
        return read_batch(list(fresh.values()), *more, **named)

    setattr(consumer, "batch_reader", lambda _: read_unseen)  # noqa: B010
    setattr(consumer, "read_batch", read_unseen)  # noqa: B010


VARIANTS: dict[str, Callable[[], None]] = {
    "offsets before data": offsets_before_data,
    "rollups counting duplicates": rollups_count_duplicates,
    "dedupe by body": dedupe_by_body,
}
