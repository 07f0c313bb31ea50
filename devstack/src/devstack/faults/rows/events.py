"""Rows 9 and 19: events. A month that is closed, and a relay that dies between sending and marking."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from devstack.faults.run import Run
from devstack.faults.traffic import Batch, Entry

# The relay's steps, in the order of the shipped code: libs/common, `passed(...)`.
RELAY_STEPS = ("read", "sent", "acknowledged", "marked", "committed")
_ASK = """
INSERT INTO outbox (event_id, topic, key, headers, payload, created_at)
VALUES ($1, 'billing.cutoff.v1', $2, $3::jsonb, $4, now())"""
_LATEST = """
SELECT DISTINCT ON (key) key, payload FROM outbox WHERE topic = $1 ORDER BY key, id DESC"""


async def _ask(run: Run, until: datetime) -> UUID:
    """A cut-off is asked for, as billing does it: by an event in an outbox (this database's, whose relay sends it)."""
    cutoff = UUID(int=run.random.getrandbits(128), version=4)
    body = {
        "version": 1, "cutoff_id": str(cutoff), "organisation_id": None, "until": until.isoformat(),
        "requested_at": run.calls.now.isoformat(),
    }  # fmt: skip
    async with run.database() as connection:
        await connection.execute(
            _ASK, cutoff, str(cutoff), json.dumps({"ce_id": str(cutoff)}), json.dumps(body).encode()
        )
    return cutoff


async def _answers(run: Run, cutoff: UUID) -> list[Any]:
    async with run.database() as connection:
        rows = await connection.fetch(
            "SELECT payload FROM outbox WHERE topic = 'metering.period.v1' AND key LIKE $1", f"{cutoff}/%"
        )
    return [json.loads(row["payload"]) for row in rows]


def _calls_of(entries: list[Entry]) -> Counter[str]:
    return Counter(e["consumer"]["custom_id"] for e in entries if "mode:live" in e["consumer"]["tags"])


async def late_after_close(run: Run) -> None:
    """Calls of a month that is closed change no answer that was given: they are adjustments, and count in the log."""
    run.wants_kills = False
    this_month = run.calls.now.replace(day=1, hour=0, minute=0, second=0)

    def of_last_month(count: int) -> Batch:
        return run.calls.make(count, at=this_month - timedelta(hours=run.random.randrange(2, 24 * 12)))

    await run.start("ingest")
    await run.start("worker")
    early = [of_last_month(20) for _ in range(4)]
    await run.send(run.calls.again([*early, *run.calls.batches(4)]))
    await run.idle()
    cutoff = await _ask(run, this_month)

    async def answered() -> bool:
        return bool(await _answers(run, cutoff))

    await run.until(answered, "the cut-off to be answered", seconds=60)
    given = await _answers(run, cutoff)
    told = Counter({t["subscription_id"]: t["calls"] for part in given for t in part["totals"]})
    if told != _calls_of([entry for batch in early for entry in batch]):
        run.differ("the month was closed with other totals than its calls")
    late = [of_last_month(10) for _ in range(3)]
    await run.send(run.calls.again([*late, *early[:1]]))
    await run.idle()
    wanted = _calls_of([entry for batch in [*early, *late] for entry in batch])
    wanted = Counter({s: wanted[s] for s in _calls_of([entry for batch in late for entry in batch])})

    async def adjusted() -> bool:
        async with run.database() as connection:
            rows = await connection.fetch(_LATEST, "metering.adjustment.v1")
        bodies = [json.loads(row["payload"]) for row in rows]
        return Counter({body["subscription_id"]: body["calls"] for body in bodies}) == wanted

    await run.until(adjusted, "the late calls to be told as adjustments")
    if await _answers(run, cutoff) != given:
        run.differ("an answer that was given has changed")


async def kill_relay(run: Run) -> None:
    """The relay dies between any two of its steps: each event is sent, perhaps twice, and has its effect once."""
    await run.start("ingest")
    consumer = await run.start("consumer")
    await run.send(run.calls.batches(4))
    await run.idle()
    await run.end(consumer)
    asked: list[UUID] = []
    for step in run.random.sample(RELAY_STEPS, len(RELAY_STEPS)):
        asked += [await _ask(run, run.calls.now - timedelta(hours=n)) for n in range(3)]
        victim = await run.start_to_die("relay", step)
        await run.death(victim, step, measured="batch of events in hand", fed=False)
    await run.start("worker")

    async def all_answered() -> bool:
        waiting = await run.value("SELECT count(*) FROM outbox WHERE sent_at IS NULL")
        answered = await run.value("SELECT count(*) FROM cutoff WHERE answered_at IS NOT NULL")
        return bool(waiting == 0 and answered == len(asked))

    try:
        await run.until(all_answered, "all cut-offs to be answered", seconds=60)
    except TimeoutError:
        found = await run.value("SELECT count(*) FROM cutoff WHERE answered_at IS NOT NULL")
        run.differ(f"O3: {len(asked)} events were committed, {found} had their effect")
    twice = [cutoff for cutoff in asked if len(await _answers(run, cutoff)) > 1]
    if twice:
        run.differ(f"O1: {len(twice)} events had their effect twice")
    handled = await run.value("SELECT count(*) FROM inbox WHERE topic LIKE '%billing.cutoff.v1'")
    if handled != len(asked):
        run.differ(f"the inbox knows {handled} events of {len(asked)}")
