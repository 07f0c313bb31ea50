"""The rows of the fault catalogue that concern metering and what stands around it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from devstack.faults.lab import Lab
from devstack.faults.rows import (
    content,
    counting,
    disks,
    events,
    gateway,
    log,
    network,
    owners,
    servers,
    standby,
)
from devstack.faults.run import Run


@dataclass(frozen=True, slots=True)
class Row:
    """One fault: its number in the catalogue, how it is played, and what a machine must have for it."""

    number: int
    name: str
    play: Callable[[Run], Awaitable[None]]
    needs_apache: bool = False
    needs_mount: bool = False
    counts: bool = True  # the common oracle judges the run's calls
    seconds: float = 150.0

    def cannot(self, lab: Lab) -> str | None:
        """Why this row cannot be played in this lab."""
        if self.needs_apache and lab.broker != "apache":
            return f"the embedded broker cannot do that, and is used because {lab.why_embedded or 'it was asked for'}"
        return disks.unmountable() if self.needs_mount else None


ROWS = (
    Row(1, "kill -9 of ingest", counting.kill_ingest),
    Row(2, "kill -9 of the consumer", counting.kill_consumer),
    Row(3, "kill -9 of Kafka, outage", servers.kill_kafka, needs_apache=True, seconds=240),
    Row(4, "the topic is another one of the same name", log.replace_log),
    Row(5, "kill -9 of PostgreSQL, crash recovery, outage", servers.kill_postgres, seconds=240),
    Row(6, "PostgreSQL's standby takes over without the tail", standby.fail_over, seconds=240),
    Row(7, "COMMIT whose answer is lost", network.lose_commits),
    Row(8, "batches twice, shifted, out of order; replay after 30 days", counting.repeat_and_shift),
    Row(9, "calls of a month that is closed", events.late_after_close),
    Row(10, "clocks an hour off, in 1970, before it", content.skew_clocks),
    Row(
        11, "poison: no JSON, no UTF-8, no credential, 10 MB, huge numbers, names twice", content.feed_poison
    ),
    Row(12, "storm of consumers; a stopped one that goes on", owners.owners),
    Row(13, "the disk is full: PostgreSQL's, Kafka's", disks.fill_disks, needs_mount=True, seconds=400),
    Row(18, "kill -9 of kong-sync between its calls", gateway.kill_kong_sync, counts=False, seconds=400),
    Row(19, "kill -9 of the outbox relay between sending and marking", events.kill_relay),
    Row(20, "kill -9 of Redis, and it comes back empty", gateway.kill_redis, counts=False),
    Row(21, "one subscription is nine tenths of the traffic", content.hot_key),
    Row(22, "the topic gets more partitions", log.raise_partitions, needs_apache=True),
    Row(23, "kill -9 of who folds deltas into rollups; two of them", counting.kill_folder),
)

# Each must be found wrong by the row that it is played in.
CONTROLS = {
    "offsets before data": counting.kill_consumer,
    "rollups counting duplicates": counting.repeat_and_shift,
    "dedupe by body": counting.repeat_and_shift,
}
