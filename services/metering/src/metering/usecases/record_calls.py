"""The heart of metering: one transaction that makes a run of Kafka records count, exactly once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from common.kafka.dead_letters import park
from common.steps import Passed, unwatched
from metering.db import cutoffs, deltas, positions, quarantine, quotas, request_log
from metering.db.positions import Advance, PartitionState
from metering.domain.batch import Batch, Poison
from metering.domain.errors import Fenced
from metering.domain.rollup import by_counter
from metering.usecases.judge_quotas import judge_quotas


@dataclass(frozen=True, slots=True)
class Log:
    """The log that a consumer reads: where it believes each partition to stand before this batch."""

    topic: str
    cluster_id: str
    positions: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a batch came to."""

    new: int
    repeated: int
    late_months: int


async def record_calls(
    session: AsyncSession, batch: Batch, *, log: Log, moves: Mapping[int, Advance], now: datetime,
    unseen: bool = False, passed: Passed = unwatched,
) -> Recorded:  # fmt: skip
    """The batch's new calls are in the request log and in every total made of it, and the offsets stand behind it.

    All of it or nothing: offsets and rows live and die in one commit. `passed` is told each step that lies behind,
    so that a test can end the process between any two. `unseen` is a guess that no call of the batch was recorded
    before: when it holds, the batch costs less.
    """
    _check_fence(
        await positions.lock(session, log.topic, partitions=log.positions), log
    )  # first: nothing may be written before we know we may
    passed("fence")
    new = await request_log.insert_new(session, batch, unseen=unseen)
    passed("log")
    if new.calls:
        await deltas.append(session, new.deltas)
    passed("deltas")
    late_months = await cutoffs.note_late(session, new.days.items())
    passed("late months")
    uses = by_counter(new.days)
    await judge_quotas(session, await quotas.add(session, uses), added=uses, now=now)
    passed("quotas")
    await quarantine.keep(session, batch.late)
    await _park(session, batch.poison, topic=log.topic, now=now)
    passed("side tables")
    await positions.advance(session, log.topic, moves, now=now)
    passed("offsets")
    return Recorded(new.calls, len(batch) - new.calls, late_months)


def _check_fence(stored: Mapping[int, PartitionState], log: Log) -> None:
    for partition, position in log.positions.items():
        state = stored.get(partition)
        if state is None or state.cluster_id != log.cluster_id or state.next_offset != position:
            raise Fenced(f"{log.topic}[{partition}] is at {state}, not at {position} of {log.cluster_id}")


async def _park(session: AsyncSession, poison: Sequence[Poison], *, topic: str, now: datetime) -> None:
    # What is in the topic was stripped by ingest; what cannot be read is kept by its place in the log alone.
    for item in poison:
        await park(
            session, topic=topic, partition=item.record.partition, offset=item.record.offset, payload=b"",
            reason=item.reason, now=now,
        )  # fmt: skip
