"""A run of `bench metering`: its servers and topics, and the children that do the work of a case."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka import AIOKafkaProducer
from rich.progress import Progress

from bench.metering_kit import peers
from bench.metering_kit.calls import NAMESPACE, bodies, entries
from bench.metering_kit.servers import Servers, end
from common.clock import SystemClock
from common.kafka.cluster import MESSAGE_BYTES
from devstack.embedded import ports
from metering.domain.entry import Entry
from metering.domain.parse_log import envelope, parse, partition_of

Took = dict[str, float]
POST_CALLS = 200
PARTITIONS = {"envelopes": 4, "flat": 4, "wide": 12}


class Skipped(Exception):
    """A case that cannot be measured here; the text says why."""


@dataclass
class Bench:
    """The servers, the topics, and what each case took, repeat by repeat."""

    servers: Servers
    calls: int
    batch_calls: int
    slow_calls: int
    rows: int
    topics: dict[str, str] = field(default_factory=dict)
    wide_records: int = 0
    took: dict[str, list[Took | None]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    commands: dict[str, list[str]] = field(default_factory=dict)

    @property
    def postmaster(self) -> int:
        return self.servers.running["postgres"].pid

    @property
    def kept(self) -> Path:
        """The folder of the rows that the consumer recorded last."""
        return self.servers.folder / "rows"

    async def fill(self, progress: Progress, cases: Collection[str]) -> None:
        """The same calls as ingest writes them, with a call in each record, and in many partitions."""
        for kind, partitions in PARTITIONS.items():
            self.topics[kind] = await self.servers.topic(kind, partitions=partitions)
        wide = any(case.startswith("shared_by") for case in cases)
        producer = AIOKafkaProducer(
            bootstrap_servers=self.servers.kafka, acks="all", linger_ms=20, max_batch_size=512 * 1024,
            max_request_size=MESSAGE_BYTES,
        )  # fmt: skip
        async with producer:
            made = bodies(entries(self.calls, ends=SystemClock().now()), size=POST_CALLS)
            for body, count in progress.track(
                made, total=self.calls // POST_CALLS, description="Filling topics"
            ):
                sent = []
                for kind in ("envelopes", "wide") if wide else ("envelopes",):
                    for partition, group in by_partition(body, count, PARTITIONS[kind]).items():
                        value = envelope([e for _, e in group])
                        headers = [("count", str(len(group)).encode())]
                        sent.append(
                            await producer.send(
                                self.topics[kind], value, partition=partition, headers=headers
                            )
                        )
                        self.wide_records += kind == "wide"
                for partition, group in by_partition(body, count, PARTITIONS["flat"]).items():
                    for key, entry in group:
                        sent.append(
                            await producer.send(
                                self.topics["flat"], envelope([entry]), key=key.encode(), partition=partition
                            )
                        )
                await asyncio.gather(*sent)

    async def run(self, case: str, measured: Callable[[Bench], Awaitable[Took]]) -> None:
        """The case was run once more, or is known not to be possible."""
        if case in self.skipped:
            return
        try:
            self.took.setdefault(case, []).append(await measured(self))
        except (Skipped, peers.Missing) as reason:
            self.skipped[case] = str(reason)

    async def child(self, command: list[str], *, name: str) -> Took:
        """What the program printed as its last line."""
        process = self.servers.spawn(command, name=name, output=subprocess.PIPE)
        self.servers.running[name] = process
        try:
            said, _ = await asyncio.to_thread(process.communicate)
        finally:
            end(process)
            del self.servers.running[name]
        if process.returncode:
            log = (self.servers.folder / f"{name}.log").read_text(errors="replace")[-1_500:]
            raise Skipped(f"{name} failed: {log}")
        found: Took = json.loads(said.splitlines()[-1])
        return found


def by_partition(body: bytes, count: int, partitions: int) -> dict[int, list[tuple[str, Entry]]]:
    """The body's entries as ingest distributes them."""
    parsed = parse(body, namespace=NAMESPACE)
    assert len(parsed.entries) == count, parsed.rejected[:1]
    groups: dict[int, list[tuple[str, Entry]]] = {}
    for key, entry in parsed.entries:
        groups.setdefault(partition_of(key, partitions), []).append((key, entry))
    return groups


async def listening(server: subprocess.Popen[bytes], port: int) -> None:
    """The server accepts connections; SystemExit when it ended instead."""
    while not ports.accepts(port):
        if server.poll() is not None:
            raise SystemExit("A server ended while it started; its log went with the bench's folder.")
        await asyncio.sleep(0.1)
