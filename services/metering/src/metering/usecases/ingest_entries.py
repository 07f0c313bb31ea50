"""Take in a body of log entries, from Kong's http-log or from its file-log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from common.db import Database
from common.kafka.dead_letters import park
from metering.clients.kafka_log import KafkaLog
from metering.domain.client import CountryOf, nowhere
from metering.domain.entry import Entry
from metering.domain.parse_log import Rejected, envelope, parse, partition_of
from metering.metrics import INGESTED

_MOST_DEAD_LETTERS = 100
# Well under Kafka's message limit, which is the same as the body's: a stripped entry is smaller than a whole one.
_MOST_BYTES = 2 * 1024 * 1024
# A dead letter of ingest never had a place in a Kafka partition.
_NOWHERE = -1


@dataclass(frozen=True, slots=True)
class Ingested:
    """What became of a body."""

    accepted: int
    rejected: int
    foreign: int


async def ingest_entries(
    db: Database, log: KafkaLog, body: bytes, *, namespace: str, source: str, now: datetime,
    country_of: CountryOf = nowhere,
) -> Ingested:  # fmt: skip
    """Every entry of ours is in Kafka, acknowledged by all replicas, and every bad one in the dead letters.

    Raises LogUnavailable otherwise; the sender then sends all of it again, and what had already been taken is told
    by its request ids.
    """
    parsed = parse(body, namespace=namespace, country_of=country_of)
    if parsed.entries:
        partitions = await log.partitions()
        groups: dict[int, list[Entry]] = {}
        for routing_key, entry in parsed.entries:
            groups.setdefault(partition_of(routing_key, partitions), []).append(entry)
        await log.append([(p, v, n) for p, entries in groups.items() for v, n in _records(entries)])
    if parsed.rejected:
        async with db.begin() as session:
            for reason, redacted in _letters(parsed.rejected):
                await park(
                    session, topic=log.topic, partition=_NOWHERE, offset=_NOWHERE, payload=redacted.encode(),
                    reason=reason, now=now,
                )  # fmt: skip
    result = Ingested(len(parsed.entries), len(parsed.rejected), parsed.foreign)
    for outcome in ("accepted", "rejected", "foreign"):
        INGESTED.labels(source, outcome).inc(getattr(result, outcome))
    return result


def _records(entries: Sequence[Entry]) -> list[tuple[bytes, int]]:
    """One record, or several where one would be too large."""
    value = envelope(list(entries))
    if len(value) <= _MOST_BYTES or len(entries) == 1:
        return [(value, len(entries))]
    middle = len(entries) // 2
    return _records(entries[:middle]) + _records(entries[middle:])


def _letters(rejected: Sequence[Rejected]) -> list[tuple[str, str]]:
    letters = [(item.reason, item.redacted) for item in rejected[:_MOST_DEAD_LETTERS]]
    if len(rejected) > _MOST_DEAD_LETTERS:
        letters.append((f"and {len(rejected) - _MOST_DEAD_LETTERS} more in the same body", ""))
    return letters
