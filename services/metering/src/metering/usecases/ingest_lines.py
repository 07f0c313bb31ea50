"""Take in lines of Kong's file-log, by the same way as what Kong posts."""

from __future__ import annotations

from collections.abc import Callable

from common.clock import Clock
from common.db import Database
from metering.clients.kafka_log import KafkaLog
from metering.domain.client import CountryOf, nowhere
from metering.domain.parse_log import is_json
from metering.usecases.ingest_entries import Ingested, ingest_entries

_LINES = 200


async def ingest_lines(
    db: Database, kafka_log: KafkaLog, lines: list[bytes], *, namespace: str, clock: Clock,
    country_of: CountryOf = nowhere,
    done: Callable[[int, Ingested], None] = lambda _, __: None,
) -> None:  # fmt: skip
    """The entries of `lines`, one a line, are taken in; `done` hears of each body: its bytes and its outcome."""
    for start in range(0, len(lines), _LINES):
        portion = lines[start : start + _LINES]
        # A line that is no JSON would spoil the array for its neighbours: it goes by itself, to be refused.
        bodies = [line for line in portion if not is_json(line)]
        bodies.append(b"[" + b",".join(line for line in portion if is_json(line)) + b"]")
        for body in bodies:
            result = await ingest_entries(
                db,
                kafka_log,
                body,
                namespace=namespace,
                source="file",
                now=clock.now(),
                country_of=country_of,
            )
            done(len(body), result)
