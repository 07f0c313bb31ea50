"""What others need to count the flat topic."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bench.metering_kit import peers
from bench.metering_kit.run import PARTITIONS, Bench, Skipped, Took


async def _peer(bench: Bench, name: str, command: Callable[[], list[str]], arguments: list[str]) -> Took:
    if "embedded" in bench.servers.broker and name != "bytewax":
        raise Skipped(f"it needs transactions, which {bench.servers.broker} has not")
    if name not in bench.commands:
        bench.commands[name] = await asyncio.to_thread(command)
    return await bench.child([*bench.commands[name], *arguments], name=name)


async def kafka_streams(bench: Bench) -> Took:
    """Kafka Streams counts the flat topic."""
    output = await bench.servers.topic("streams", partitions=PARTITIONS["flat"])
    state = bench.servers.folder / output
    numbers = [str(bench.calls), str(bench.calls // 3)]
    arguments = [bench.servers.kafka, bench.topics["flat"], output, str(state), *numbers]
    return await _peer(bench, "kafka_streams", peers.kafka_streams, arguments)


async def quixstreams(bench: Bench) -> Took:
    """QuixStreams counts the first calls of the flat topic."""
    output = await bench.servers.topic("quix", partitions=PARTITIONS["flat"])
    arguments = ["--output", output, "--state", str(bench.servers.folder / output)]
    return await _python(bench, "quixstreams", arguments)


async def bytewax(bench: Bench) -> Took:
    """Bytewax counts the first calls of the flat topic."""
    return await _python(bench, "bytewax", [])


async def _python(bench: Bench, name: str, more: list[str]) -> Took:
    given = [
        "--kafka",
        bench.servers.kafka,
        "--topic",
        bench.topics["flat"],
        "--calls",
        str(bench.slow_calls),
    ]
    arguments = [*given, "--warm", str(bench.slow_calls // 5), *more]
    return await _peer(bench, name, lambda: peers.python_peer(f"{name}_hourly"), arguments)
