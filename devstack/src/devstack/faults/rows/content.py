"""Rows 10, 11 and 21: what calls bring with them: wrong clocks, poison, one subscription that is most of it."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import httpx
from aiokafka import AIOKafkaProducer

from devstack.faults.run import Run
from devstack.faults.traffic import INGEST_TOKEN, Batch

_HUGE = 10 * 1024 * 1024


def _skewed(run: Run, offset: timedelta, *, counts: bool) -> Batch:
    batch = run.calls.make(10)
    for entry in batch:
        entry["started_at"] = int((run.calls.now + offset).timestamp() * 1000)
    if not counts:
        run.uncounted.update(entry["request"]["id"] for entry in batch)
    return batch


async def skew_clocks(run: Run) -> None:
    """Clocks are ahead, behind, at the epoch and before it: inside the window it counts, else it is put aside once."""
    run.wants_kills = False
    await run.start("consumer")
    inside = [timedelta(hours=-1), timedelta(minutes=5), timedelta(days=-44)]
    outside = [timedelta(hours=1), timedelta(days=-46), timedelta(days=400)]
    batches = [_skewed(run, offset, counts=True) for offset in inside]
    aside = [_skewed(run, offset, counts=False) for offset in outside]
    epoch = _skewed(run, timedelta(), counts=False)
    for number, entry in enumerate(epoch):
        entry["started_at"] = number  # 1970
    aside.append(epoch)
    before = _skewed(run, timedelta(), counts=False)
    for entry in before:
        entry["started_at"] = -86_400_000
    mixed = [*batches, *aside, *run.calls.batches(8)]
    run.random.shuffle(mixed)
    await run.send(run.calls.again(mixed))
    answer = await run.sender.post(before)
    run.dead_letters += len(before)
    if answer["rejected"] != len(before):
        run.differ(f"of {len(before)} calls begun before 1970, {answer['rejected']} were refused")
    wanted = sum(len(batch) for batch in aside)

    async def put_aside() -> bool:
        return bool(await run.value("SELECT count(*) FROM quarantined_request") == wanted)

    try:
        await run.until(put_aside, "the calls of wrong clocks to be put aside")
    except TimeoutError:
        found = await run.value("SELECT count(*) FROM quarantined_request")
        run.differ(f"{found} calls in quarantine, {wanted} were made with a wrong clock")


def _poison(run: Run) -> list[bytes]:
    """Bodies that hold no call that could count, each for another reason."""
    chosen, good = run.random, run.calls.make(1)[0]
    run.uncounted.add(good["request"]["id"])
    raw = json.dumps(good).encode()
    cut = raw[: chosen.randrange(5, len(raw) - 5)]
    bad_utf8 = raw.replace(b"GET", b"G\xff\xfe")
    nameless = json.dumps(
        good | {"consumer": {"custom_id": "nobody", "tags": good["consumer"]["tags"][:1]}}
    ).encode()
    huge = raw.replace(b'"status": 2', b'"status": ' + b"9" * chosen.randrange(20, 400))
    huge = huge.replace(b'"size": 133', b'"size": ' + b"9" * chosen.randrange(20, 400))
    deep = b"[" * 5000 + b"]" * 5000
    noise = chosen.randbytes(chosen.randrange(1, 3000))
    return [cut, nameless, huge, deep, b"\x00" + noise, b"nul", bad_utf8.replace(b'"id"', b'"di"', 1)]


async def feed_poison(run: Run) -> None:
    """Bodies and records that cannot be read lie among the good ones: each is set aside, all others count."""
    run.wants_kills = False
    await run.start("ingest")
    await run.start("consumer")
    sending = asyncio.create_task(run.sender.send(run.calls.again(run.calls.batches(10))))
    for body in _poison(run):
        answer = await run.sender.post(body)
        run.dead_letters += answer["rejected"]
        if answer["accepted"]:
            run.differ(f"ingest took in poison: {body[:60]!r}")
    twice = run.calls.make(1)[0]
    raw = json.dumps(twice).encode()
    # The last of two equal names counts, as everywhere in JSON.
    await run.sender.post(raw.replace(b'"source"', b'"source": "x", "source"'), [twice["request"]["id"]])
    await _too_large(run)
    await sending
    await _into_the_topic(run)
    await run.send(run.calls.batches(4))


async def _too_large(run: Run) -> None:
    async with httpx.AsyncClient(timeout=20) as http:
        answer = await http.post(
            run.sender.url, content=b"[" + b" " * _HUGE + b"]", headers={"X-Ingest-Token": INGEST_TOKEN}
        )
    if answer.status_code != 413:
        run.differ(f"a body of 10 MB was answered {answer.status_code}")


async def _into_the_topic(run: Run) -> None:
    """Past ingest: whatever stands in the topic, the consumer must not stop at it."""
    good = run.calls.make(1)[0]
    run.uncounted.add(good["request"]["id"])
    strange: list[Any] = [b"", b"\xff\xfe", run.random.randbytes(500), b"{}", b"[[]]", b'[{"started_at": 1}]']
    strange.append(json.dumps([good | {"response": {"status": 10**30, "size": 1}}]).encode())
    strange.append(json.dumps([good | {"started_at": 10**18}]).encode())
    strange.append(
        json.dumps([good | {"request": {"id": "a\u0000b", "method": "GET", "path": "/"}}]).encode()
    )
    producer = AIOKafkaProducer(bootstrap_servers=run.lab.kafka_address, acks="all")
    await producer.start()
    try:
        for number, value in enumerate(strange):
            await producer.send_and_wait(run.topic, value, partition=number % 4)
    finally:
        await producer.stop()
    run.dead_letters += len(strange)

    async def parked() -> bool:
        found = await run.value("SELECT count(*) FROM dead_letter WHERE topic = $1", run.topic)
        return int(found) >= run.dead_letters

    await run.until(parked, "the poison in the topic to be set aside")
    places = await run.value(
        "SELECT count(DISTINCT (partition, record_offset)) FROM dead_letter WHERE partition >= 0"
    )
    if places != len(strange):
        run.differ(f"{places} places of poison are named, there are {len(strange)}")


async def hot_key(run: Run) -> None:
    """One subscription is nine tenths of the traffic: the calls of the other partitions do not wait behind it."""
    run.wants_kills = False
    await run.start("ingest")
    run.calls.hot = 0.9
    hot, cold = run.calls.subscriptions[0], run.calls.subscriptions[1:]
    batches = run.calls.again(run.calls.batches(40))
    await run.sender.send(batches, at_once=8)  # all of it waits before anybody reads
    await run.start("consumer")
    wanted = sum(entry["consumer"]["custom_id"] in cold for entry in run.calls.made.values())
    total = len(run.calls.made)
    behind_at_the_end = 0
    statement = "SELECT count(*) FILTER (WHERE subscription_id <> $1::uuid), count(*) FROM api_requests_log"
    async with run.database() as connection:
        while True:
            others, everything = await connection.fetchrow(statement, hot)
            if others == wanted:
                behind_at_the_end = total - everything
                break
            if everything == total or run.elapsed() > 60:
                break
            await asyncio.sleep(0.01)
    run.notes.append(
        f"the {wanted} others were recorded while {behind_at_the_end} of {total} calls still waited"
    )
