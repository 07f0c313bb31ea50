"""Calls and bytes per subscription and hour by QuixStreams, exactly once; prints what it took.

Tuned for throughput: a typed decoder that reads two numbers, the key already there, so that nothing is repartitioned,
and a commit as often as our consumer's.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import timedelta
from typing import Any

import msgspec
from quixstreams import Application
from quixstreams.dataframe.windows import Count, Sum


class Response(msgspec.Struct):
    """What was answered."""

    size: int


class Call(msgspec.Struct):
    """What is read of an entry."""

    started_at: int
    response: Response


_decode = msgspec.json.Decoder(list[Call]).decode


def main() -> None:
    """Count until `--calls` calls were counted."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("--kafka", "--topic", "--output", "--state"):
        parser.add_argument(name, required=True)
    for name in ("--calls", "--warm"):
        parser.add_argument(name, type=int, required=True)
    given = parser.parse_args()
    counted, marks = 0, []

    def to_fields(value: bytes) -> dict[str, int]:
        nonlocal counted
        counted += 1
        if counted in (given.warm, given.calls):
            marks.append((time.perf_counter(), time.process_time()))
        (call,) = _decode(value)
        return {"at": call.started_at, "size": call.response.size}

    def started_at(value: Any, *_: Any) -> int:
        return int(_decode(value)[0].started_at)

    app = Application(
        broker_address=given.kafka, consumer_group=given.output, auto_offset_reset="earliest",
        processing_guarantee="exactly-once", state_dir=given.state, commit_interval=0.25, loglevel="ERROR",
        auto_create_topics=True, producer_extra_config={"linger.ms": 50},
    )  # fmt: skip
    calls = app.topic(
        given.topic, value_deserializer="bytes", key_deserializer="bytes", timestamp_extractor=started_at
    )
    frame = app.dataframe(calls).apply(to_fields)
    window = frame.tumbling_window(timedelta(hours=1), grace_ms=timedelta(hours=24))
    window.agg(calls=Count(), bytes=Sum("size")).current().to_topic(app.topic(given.output))
    app.run(count=given.calls, collect=False)
    if len(marks) != 2:
        sys.exit(f"only {counted} calls were counted")
    (began, before), (ended, after) = marks
    print(json.dumps({"calls": given.calls - given.warm, "seconds": ended - began, "cpu": after - before}))


if __name__ == "__main__":
    main()
