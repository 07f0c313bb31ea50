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
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from rich.console import Console
from rich.progress import Progress

from bench.metering_kit import consumer_cases, ingest_cases, peer_cases
from bench.metering_kit.report import report, show
from bench.metering_kit.run import POST_CALLS, Bench, Took
from bench.metering_kit.servers import Servers

SHARED_BY = (1, 2, 4)
PATH_SECONDS = 60.0
GROUPS = {
    "copy": ("consumer", "copy"), "dedupe_cost": ("consumer", "no_index"), "ingest": ("ingest", "parse_only"),
    "kafka_streams": ("flat", "kafka_streams"), "quixstreams": ("flat", "quixstreams"),
    "bytewax": ("flat", "bytewax"), "scaling": tuple(f"shared_by_{number}" for number in SHARED_BY), "path": (),
}  # fmt: skip
CASES: dict[str, Callable[[Bench], Awaitable[Took]]] = {
    "consumer": consumer_cases.consumer, "copy": consumer_cases.copy, "no_index": consumer_cases.no_index,
    "flat": consumer_cases.flat, "kafka_streams": peer_cases.kafka_streams, "quixstreams": peer_cases.quixstreams,
    "bytewax": peer_cases.bytewax, "parse_only": ingest_cases.parse_only, "ingest": ingest_cases.ingest,
    **{f"shared_by_{number}": partial(consumer_cases.shared_by, number=number) for number in SHARED_BY},
}  # fmt: skip


def in_turn(cases: list[str], repeats: int) -> Iterator[str]:
    """Every case in each repeat, each time beginning with another; `copy` follows the consumer whose rows it takes."""
    free = [case for case in cases if case != "copy"]
    for number in range(repeats):
        shift = number % len(free) if free else 0
        for case in [*free[shift:], *free[:shift]]:
            yield case
            if case == "consumer" and "copy" in cases:
                yield "copy"


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
            await bench.run(case, CASES[case])
            progress.advance(task)
        path = None
        if "path" in wanted:
            progress.update(task, description=f"The whole path for {given.seconds:.0f} s")
            path = await ingest_cases.path(bench, given.seconds)
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
