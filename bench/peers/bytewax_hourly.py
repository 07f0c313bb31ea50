"""Calls and bytes per subscription and hour by Bytewax, one worker, without recovery; prints what it took.

Tuned for throughput: a typed decoder that reads two numbers, large batches, no recovery store: it promises less
than the others do.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import bytewax.operators as op
import bytewax.operators.windowing as win
import msgspec
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import run_main

HOUR = timedelta(hours=1)


class Response(msgspec.Struct):
    """What was answered."""

    size: int


class Call(msgspec.Struct):
    """What is read of an entry."""

    started_at: int
    response: Response


_decode = msgspec.json.Decoder(list[Call]).decode


class Done(Exception):
    """As many calls were counted as were wanted."""


class _Nowhere(StatelessSinkPartition[Any]):
    def write_batch(self, items: list[Any]) -> None:
        """The hours are not kept: this peer is measured without its output."""


class Nowhere(DynamicSink[Any]):
    """Takes what comes."""

    def build(self, *_: object) -> _Nowhere:
        """One for each worker."""
        return _Nowhere()


def main() -> None:
    """Count until `--calls` calls were counted."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("--kafka", "--topic"):
        parser.add_argument(name, required=True)
    for name in ("--calls", "--warm"):
        parser.add_argument(name, type=int, required=True)
    given = parser.parse_args()
    counted, marks = 0, []

    def count(totals: tuple[int, int], call: Call) -> tuple[int, int]:
        nonlocal counted
        counted += 1
        if counted in (given.warm, given.calls):
            marks.append((time.perf_counter(), time.process_time()))
            if counted == given.calls:
                report()
        return totals[0] + 1, totals[1] + call.response.size

    def report() -> None:
        (began, before), (ended, after) = marks
        took = {"calls": given.calls - given.warm, "seconds": ended - began, "cpu": after - before}
        print(json.dumps(took), flush=True)

    flow = Dataflow("hourly")
    source = KafkaSource([given.kafka], [given.topic], tail=False, batch_size=2_000)
    messages = op.input("calls", flow, source)
    calls = op.map("decode", messages, lambda m: (m.key.decode(), _decode(m.value)[0]))
    clock = win.EventClock(
        lambda call: datetime.fromtimestamp(call.started_at / 1000, UTC), wait_for_system_duration=HOUR
    )
    hours = win.TumblingWindower(length=HOUR, align_to=datetime(2024, 1, 1, tzinfo=UTC))
    counts = win.fold_window(
        "count", calls, clock, hours, lambda: (0, 0), count, lambda a, b: (a[0] + b[0], a[1] + b[1]),
        ordered=False,
    )  # fmt: skip
    op.output("out", counts.down, Nowhere())
    run_main(flow)


if __name__ == "__main__":
    main()
