"""What metering's pipeline costs, in multiples of what cannot be done without and of what others do.

Everything runs side by side in one go: each repeat runs every case once, each time another one first, and a ratio is
taken within its repeat; the middle one of all repeats is shown, with the least and the most. What is compared by the
rate is also compared by CPU time, which neighbours on the machine disturb less.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

from aiokafka import AIOKafkaProducer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.metering_kit import peers
from bench.metering_kit.calls import NAMESPACE, bodies, entries
from bench.metering_kit.post import TOKEN
from bench.metering_kit.servers import Servers, cpu_seconds, end
from common.clock import SystemClock
from common.kafka.cluster import MESSAGE_BYTES
from devstack.embedded import ports
from devstack.embedded.databases import DatabaseUrls
from metering.domain.entry import Entry
from metering.domain.parse_log import envelope, parse, partition_of

Took = dict[str, float]
POST_CALLS = 200
PARTITIONS = {"envelopes": 4, "flat": 4, "wide": 12}
SHARED_BY = (1, 2, 4)
PATH_SECONDS = 60.0
# Name, what it says, at least or at most so much, and the two cases that are compared.
RATIOS = {
    "copy": ("consumer ÷ binary COPY", ">=", 0.25, "consumer", "copy"),
    "kafka_streams": ("consumer, flat topic ÷ Kafka Streams", ">=", 1.0, "flat", "kafka_streams"),
    "quixstreams": ("consumer, flat topic ÷ QuixStreams", ">=", 5.0, "flat", "quixstreams"),
    "bytewax": ("consumer, flat topic ÷ Bytewax", ">=", 2.5, "flat", "bytewax"),
    "dedupe_cost": ("what the unique index costs of the rate", "<=", 0.25, "consumer", "no_index"),
    "ingest": ("ingest, acknowledged ÷ parse only (CPU)", "<=", 2.5, "ingest", "parse_only"),
}
GROUPS = {
    "copy": ("consumer", "copy"), "dedupe_cost": ("consumer", "no_index"), "ingest": ("ingest", "parse_only"),
    "kafka_streams": ("flat", "kafka_streams"), "quixstreams": ("flat", "quixstreams"),
    "bytewax": ("flat", "bytewax"), "scaling": tuple(f"shared_by_{number}" for number in SHARED_BY), "path": (),
}  # fmt: skip


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
    _recorded: DatabaseUrls | None = None

    @property
    def postmaster(self) -> int:
        return self.servers.running["postgres"].pid

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

    async def run(self, case: str) -> None:
        """The case was run once more, or is known not to be possible."""
        if case in self.skipped:
            return
        try:
            self.took.setdefault(case, []).append(await CASES[case](self))
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

    async def consume(
        self, topic: str, urls: DatabaseUrls, *, calls: int, name: str = "consumer", shared: int = 0
    ) -> Took:
        """The shipped consumer recorded the topic's calls in a database of its own; with others, if it is shared."""
        return await self.child(
            [
                sys.executable, "-m", "bench.metering_kit.consume", "--kafka", self.servers.kafka, "--topic", topic,
                "--database", urls.worker, "--postmaster", str(self.postmaster), "--calls", str(calls),
                "--batch-calls", str(self.batch_calls), "--shared", str(shared),
            ],
            name=name,
        )  # fmt: skip

    async def consumer(self) -> Took:
        """The consumer on envelopes; its rows stay for `copy`."""
        if self._recorded is not None:
            await self.servers.drop(self._recorded)
        self._recorded = await self.servers.database()
        return await self.consume(self.topics["envelopes"], self._recorded, calls=self.calls)

    async def copy(self) -> Took:
        """The rows that the consumer just recorded, by COPY."""
        if self._recorded is None:
            raise Skipped("the consumer recorded nothing")
        fresh = await self.servers.database()
        took = await self.child(
            [
                sys.executable, "-m", "bench.metering_kit.physical", "--recorded", self._recorded.superuser,
                "--fresh", fresh.worker, "--postmaster", str(self.postmaster),
                "--batch-calls", str(self.batch_calls),
            ],
            name="copy",
        )  # fmt: skip
        await self.servers.drop(fresh)
        return took

    async def no_index(self) -> Took:
        """The consumer, with nothing that tells a call from its repeat."""
        urls = await self.servers.database()
        dropped = "ALTER TABLE api_requests_log DROP CONSTRAINT pk_api_requests_log"
        await self.servers.execute(dropped, urls=urls)
        took = await self.consume(self.topics["envelopes"], urls, calls=self.calls)
        await self.servers.drop(urls)
        return took

    async def flat(self) -> Took:
        """The consumer on a topic with a call in each record."""
        urls = await self.servers.database()
        took = await self.consume(self.topics["flat"], urls, calls=self.calls)
        await self.servers.drop(urls)
        return took

    async def shared_by(self, number: int) -> Took:
        """So many consumers on twelve partitions: what all of them did, from the first one's first commit on."""
        urls = await self.servers.database()
        found = await asyncio.gather(
            *(
                self.consume(
                    self.topics["wide"],
                    urls,
                    calls=self.calls,
                    name=f"consumer-{one}",
                    shared=self.wide_records,
                )
                for one in range(number)
            )
        )
        await self.servers.drop(urls)
        return {
            "calls": sum(one["calls"] for one in found), "cpu": sum(one["cpu"] for one in found),
            "seconds": max(one["ended"] for one in found) - min(one["began"] for one in found),
            "database_cpu": max(one["database_cpu"] for one in found),
        }  # fmt: skip

    async def _peer(self, name: str, command: Callable[[], list[str]], arguments: list[str]) -> Took:
        if "embedded" in self.servers.broker and name != "bytewax":
            raise Skipped(f"it needs transactions, which {self.servers.broker} has not")
        if name not in self.commands:
            self.commands[name] = await asyncio.to_thread(command)
        return await self.child([*self.commands[name], *arguments], name=name)

    async def kafka_streams(self) -> Took:
        """Kafka Streams counts the flat topic."""
        output = await self.servers.topic("streams", partitions=PARTITIONS["flat"])
        state = self.servers.folder / output
        numbers = [str(self.calls), str(self.calls // 3)]
        arguments = [self.servers.kafka, self.topics["flat"], output, str(state), *numbers]
        return await self._peer("kafka_streams", peers.kafka_streams, arguments)

    async def quixstreams(self) -> Took:
        """QuixStreams counts the first calls of the flat topic."""
        output = await self.servers.topic("quix", partitions=PARTITIONS["flat"])
        arguments = ["--output", output, "--state", str(self.servers.folder / output)]
        return await self._python("quixstreams", arguments)

    async def bytewax(self) -> Took:
        """Bytewax counts the first calls of the flat topic."""
        return await self._python("bytewax", [])

    async def _python(self, name: str, more: list[str]) -> Took:
        given = [
            "--kafka",
            self.servers.kafka,
            "--topic",
            self.topics["flat"],
            "--calls",
            str(self.slow_calls),
        ]
        arguments = [*given, "--warm", str(self.slow_calls // 5), *more]
        return await self._peer(name, lambda: peers.python_peer(f"{name}_hourly"), arguments)

    async def parse_only(self) -> Took:
        """A server that only parses what is posted."""
        port = ports.free_port()
        return await self._posted([sys.executable, "-m", "bench.metering_kit.parse_only", str(port)], port)

    async def ingest(self) -> Took:
        """The shipped API, which acknowledges what Kafka acknowledged."""
        port, urls = ports.free_port(), await self.servers.database()
        command = [sys.executable, "-m", "common.serve", "metering", "--port", str(port)]
        took = await self._posted(command, port, self.environment(urls))
        await self.servers.drop(urls)
        return took

    async def _posted(self, command: list[str], port: int, environment: dict[str, str] | None = None) -> Took:
        server = self.servers.spawn(command, name="server", environment=environment)
        self.servers.running["server"] = server
        try:
            await listening(server, port)
            poster = [sys.executable, "-m", "bench.metering_kit.post", "--port", str(port)]
            await self.child([*poster, "--calls", "4000"], name="post")  # connects to Kafka, fills caches
            before = cpu_seconds(server.pid)
            took = await self.child([*poster, "--calls", str(self.calls // 4)], name="post")
            return {**took, "cpu": cpu_seconds(server.pid) - before}
        finally:
            end(server)
            del self.servers.running["server"]

    def environment(self, urls: DatabaseUrls) -> dict[str, str]:
        """Settings of the shipped processes, with a topic of their own."""
        return {
            "DATABASE_URL": urls.api, "DATABASE_WORKER_URL": urls.worker,
            "KAFKA_BOOTSTRAP_SERVERS": self.servers.kafka, "KAFKA_TOPIC_PREFIX": f"{urls.api.rsplit('/', 1)[1]}.",
            "REDIS_URL": "redis://127.0.0.1:1", "TOKEN_ISSUER": "https://bench.invalid",
            "JWKS_URL": "https://bench.invalid/jwks", "METERING_INGEST_TOKEN": TOKEN,
            "METERING_NAMESPACE": NAMESPACE, "LOG_LEVEL": "WARNING",
        }  # fmt: skip

    async def path(self, seconds: float) -> Took:
        """Ingest, broker, worker and PostgreSQL at once, as fast as they go with at most 100,000 calls waiting."""
        port, urls = ports.free_port(), await self.servers.database()
        settings = self.environment(urls)
        api = [sys.executable, "-m", "common.serve", "metering", "--port", str(port)]
        for name, command in (("api", api), ("worker", [sys.executable, "-m", "metering.worker"])):
            self.servers.running[name] = self.servers.spawn(command, name=name, environment=settings)
        started = dict(self.servers.running)
        await listening(started["api"], port)
        before = {name: cpu_seconds(process.pid) for name, process in started.items()}
        poster = [sys.executable, "-m", "bench.metering_kit.post", "--port", str(port)]
        took = await self.child(
            [*poster, "--seconds", str(seconds), "--database", urls.superuser], name="post"
        )
        spent = {f"cpu_{name}": cpu_seconds(process.pid) - before[name] for name, process in started.items()}
        for name in ("worker", "api"):
            end(self.servers.running.pop(name))
        await self.servers.drop(urls)
        return {**took, **spent}


CASES: dict[str, Callable[[Bench], Awaitable[Took]]] = {
    name: getattr(Bench, name)
    for name in (
        "consumer", "copy", "no_index", "flat", "kafka_streams", "quixstreams", "bytewax", "parse_only", "ingest",
    )
} | {f"shared_by_{number}": partial(Bench.shared_by, number=number) for number in SHARED_BY}  # fmt: skip


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


def in_turn(cases: list[str], repeats: int) -> Iterator[str]:
    """Every case in each repeat, each time beginning with another; `copy` follows the consumer whose rows it takes."""
    free = [case for case in cases if case != "copy"]
    for number in range(repeats):
        shift = number % len(free) if free else 0
        for case in [*free[shift:], *free[:shift]]:
            yield case
            if case == "consumer" and "copy" in cases:
                yield "copy"


def per_event(took: Took) -> float:
    """CPU µs a call, PostgreSQL's included."""
    return (took["cpu"] + took.get("database_cpu", 0)) / took["calls"] * 1e6


def spread(values: list[float]) -> dict[str, float]:
    """The middle, the least and the most."""
    return {name: round(of(values), 3) for name, of in (("median", median), ("min", min), ("max", max))}


def compared(took: dict[str, list[Took | None]]) -> Iterator[tuple[str, list[float], list[float]]]:
    """Each ratio's name, and its values by rate and by CPU, repeat by repeat."""
    for name, (_, _, _, ours, other) in RATIOS.items():
        pairs = [(a, b) for a, b in zip(took.get(ours, []), took.get(other, []), strict=False) if a and b]
        if not pairs:
            continue
        rates = [a["calls"] / a["seconds"] / (b["calls"] / b["seconds"]) for a, b in pairs]
        cpus = [per_event(b) / per_event(a) for a, b in pairs]
        if name == "dedupe_cost":
            rates, cpus = [1 - rate for rate in rates], [1 - cpu for cpu in cpus]
        if name == "ingest":
            rates = cpus = [1 / cpu for cpu in cpus]
        yield name, rates, cpus


def report(bench: Bench, path: Took | None, load: list[float]) -> dict[str, Any]:
    """All that was measured, with the load it was measured under."""
    found: dict[str, Any] = {
        "broker": bench.servers.broker, "calls": bench.calls, "rows_before": bench.rows,
        "batch_calls": bench.batch_calls,
        "load_average_before_and_after": [round(value, 1) for value in load], "skipped": bench.skipped,
        "ratios": {}, "spread": {}, "cpu_ratios": {}, "cpu_spread": {}, "cases": {},
    }  # fmt: skip
    for name, rates, cpus in compared(bench.took):
        for kind, values in (("", rates), ("cpu_", cpus)):
            found[f"{kind}spread"][name] = spread(values)
            found[f"{kind}ratios"][name] = found[f"{kind}spread"][name]["median"]
    for case, runs in bench.took.items():
        done = [run for run in runs if run]
        if not done:
            continue
        found["cases"][case] = {
            "calls_per_second": spread([run["calls"] / run["seconds"] for run in done]),
            "cpu_us_per_call": spread([run["cpu"] / run["calls"] * 1e6 for run in done]),
        }
        if "database_cpu" in done[0]:
            of_database = spread([run["database_cpu"] / run["calls"] * 1e6 for run in done])
            found["cases"][case]["postgres_us_per_call"] = of_database
    if path is not None:
        rate = path["calls"] / path["seconds"]
        found["path"] = {**path, "calls_per_second": rate}
        found["ratios"]["path"] = round(rate / 10_000, 3)
    return found


def show(found: dict[str, Any]) -> None:
    """As tables."""
    table = Table("what", "wanted", "by rate", "least … most", "by CPU", "least … most")
    for name, (what, sense, bound, *_) in RATIOS.items():
        if name not in found["ratios"]:
            continue
        cells = []
        for kind in ("", "cpu_"):
            s = found[f"{kind}spread"][name]
            cells += [f"{s['median']:.2f}", f"{s['min']:.2f} … {s['max']:.2f}"]
        table.add_row(what, f"{'≥' if sense == '>=' else '≤'} {bound}", *cells)
    cases = Table("case", "calls/s", "least … most", "CPU µs a call", "PostgreSQL's")
    for case, took in found["cases"].items():
        rate, of_database = took["calls_per_second"], took.get("postgres_us_per_call")
        cases.add_row(
            case, f"{rate['median']:,.0f}", f"{rate['min']:,.0f} … {rate['max']:,.0f}",
            f"{took['cpu_us_per_call']['median']:.1f}", f"{of_database['median']:.1f}" if of_database else "",
        )  # fmt: skip
    console = Console(markup=False)
    for each in (table, cases):
        if each.rows:
            console.print(each)
    if "path" in found:
        path = found["path"]
        print(
            f"Whole path: {path['calls_per_second']:,.0f} calls/s acknowledged over {path['seconds']:.0f} s (wanted:"
            f" 10,000), at most {path['most_waiting']:,} calls waiting, the last recorded"
            f" {path['drained_seconds']:.1f} s after; POST p50 {path['p50_ms']:.0f} ms, p99 {path['p99_ms']:.0f} ms."
        )
    for case, reason in found["skipped"].items():
        print(f"Not measured, {case}: {reason}")
    before, after = found["load_average_before_and_after"]
    print(f"Broker: {found['broker']}. Load average {before} before, {after} after, {os.cpu_count()} cores.")


async def measure(given: argparse.Namespace, console: Console) -> dict[str, Any]:
    """All that was asked for."""
    wanted = given.only or list(GROUPS)
    cases = list(dict.fromkeys(case for group in wanted for case in GROUPS[group]))
    async with AsyncExitStack() as stack:
        progress = stack.enter_context(Progress(console=console, transient=True))
        starting = progress.add_task("Starting PostgreSQL and Kafka", total=None)
        servers = await Servers.start(stack, embedded=given.embedded, rows=given.rows)
        progress.remove_task(starting)
        load = [os.getloadavg()[0]]
        bench = Bench(servers, given.calls, given.batch_calls, min(given.slow_calls, given.calls), given.rows)
        if set(cases) - {"ingest", "parse_only"}:
            await bench.fill(progress, cases)
        runs = list(in_turn(cases, given.repeats))
        task = progress.add_task("Measuring", total=len(runs))
        for case in runs:
            progress.update(task, description=f"Measuring {case}")
            await bench.run(case)
            progress.advance(task)
        path = None
        if "path" in wanted:
            progress.update(task, description=f"The whole path for {given.seconds:.0f} s")
            path = await bench.path(given.seconds)
        return report(bench, path, [*load, os.getloadavg()[0]])


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench metering", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=list(GROUPS), metavar="WHAT", help=", ".join(GROUPS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--calls", type=int, default=200_000, help="in the topics")
    parser.add_argument("--rows", type=int, default=0, help="old calls in the log before")
    parser.add_argument("--slow-calls", type=int, default=30_000, help="of them, for QuixStreams and Bytewax")
    parser.add_argument("--batch-calls", type=int, default=40_000, help="in a transaction, at most")
    parser.add_argument("--seconds", type=float, default=PATH_SECONDS, help="of the whole path")
    parser.add_argument("--embedded", action="store_true", help="the embedded broker, also where Java is")
    parser.add_argument("--json", action="store_true", help="print the figures for machines")
    given = parser.parse_args()
    if min(given.repeats, given.calls // POST_CALLS, given.batch_calls, given.slow_calls) < 1:
        parser.error("at least one repeat of one POST")
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # ends like Ctrl-C, and takes what it started with it
    try:
        found = asyncio.run(measure(given, Console(stderr=True)))
    except KeyboardInterrupt:
        print("Interrupted; everything that was started has ended.", file=sys.stderr)
        return 130
    if given.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        show(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
