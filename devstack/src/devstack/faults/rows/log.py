"""Rows 4 and 22: the request log itself changes under its readers: another log in its place, or more partitions."""

from __future__ import annotations

import signal
import sys

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic

from devstack.faults.lab import run_program
from devstack.faults.run import Run

_PARTITIONS = 4
_EXISTS = 36


async def replace_log(run: Run) -> None:
    """The topic is another one of the same name, shorter or longer: the consumer halts, says so, and counts nothing.

    After a look, an operator resets the offsets: then the new log is read from its start.
    """
    run.wants_kills = False
    await run.start("ingest")
    consumer = await run.start("consumer")
    first = run.calls.batches(6)
    await run.send(first)
    await run.idle()
    before = await run.value("SELECT count(*) FROM api_requests_log")
    if run.random.random() < 0.5:  # the one who reads is away while it happens
        await run.end(consumer)
    await _recreate(run)
    if not consumer.alive:
        await run.start("consumer")
    # Ingest knows the topic that is gone: begun again, it meets the new one.
    await run.end_role("ingest")
    await run.start("ingest")
    await run.send(run.calls.batches(run.random.choice((1, 14))))

    async def halted() -> bool:
        return b"request_log.replaced" in run.log_of("consumer")

    await run.until(halted, "the consumer to halt and say so", seconds=60)
    if await run.value("SELECT count(*) FROM api_requests_log") != before:
        run.differ("calls were counted from a log that is not the one that was read")
    await run_program(
        [sys.executable, "-m", "metering.cli", "reset-offsets", "--yes"], environment=run.environment
    )


async def _recreate(run: Run) -> None:
    if run.lab.broker == "embedded":
        # The same cluster id, and nothing in it: what a broker is that has lost its disk.
        await run.lab.kafka.kill(signal.SIGKILL)
        run.lab.kafka.start()
        await run.lab.ready()
        return
    admin = AIOKafkaAdminClient(bootstrap_servers=run.lab.kafka_address)
    await admin.start()
    try:
        await admin.delete_topics([run.topic])

        async def made() -> bool:
            answer = await admin.create_topics([NewTopic(run.topic, _PARTITIONS, 1)])
            # Whoever reads or writes it makes it as well.
            return all(code in (0, _EXISTS) for _, code, *_ in answer.topic_errors)

        await run.until(made, "the topic to be made again", every=0.2)
    finally:
        await admin.close()


async def raise_partitions(run: Run) -> None:
    """The topic has more partitions in the middle of the traffic: a call that comes again lies in another one."""
    run.wants_kills = False
    await run.start("ingest")
    await run.start("consumer")
    early = run.calls.batches(8)
    await run.send(run.calls.again(early))
    admin = AIOKafkaAdminClient(bootstrap_servers=run.lab.kafka_address)
    await admin.start()
    try:
        wanted = run.random.randint(_PARTITIONS + 1, 12)
        await admin.create_partitions({run.topic: NewPartitions(wanted)})
    finally:
        await admin.close()
    await run.end_role(
        "ingest"
    )  # begun again it sees them at once, not when its picture of the cluster is old
    await run.start("ingest")
    await run.send(run.calls.again([*early, *run.calls.batches(8)]))
    run.notes.append(f"{_PARTITIONS} partitions became {wanted}")
