"""Rows 1, 2, 8 and 23: the way of a call from ingest to the totals, with kills at every step of it."""

from __future__ import annotations

from devstack.faults.run import Run

# The steps that the shipped code tells of, in order: services/metering, `passed(...)`.
INGEST_STEPS = ("connected", "sent", "acknowledged")
CONSUMER_STEPS = (
    "gathered", "fence", "log", "deltas", "late months", "quotas", "side tables", "offsets",
    "committed",
)  # fmt: skip
FOLD_STEPS = ("folded", "settled", "fold committed", "settle committed")
KILLS_A_RUN = 4


async def kill_ingest(run: Run) -> None:
    """Ingest dies before it hands a record to Kafka, before and after the acknowledgement, and at random."""
    await run.start("consumer")
    for step in run.random.sample(INGEST_STEPS, len(INGEST_STEPS)):
        # Between handing over and acknowledgement the record is on its way for a moment: anywhere in it.
        after = run.random.random() * 0.01 if step == "sent" else 0
        victim = await run.start_to_die("ingest", step, nth=run.random.randint(1, 4), after=after)
        await run.death(victim, step, measured="POST in hand")

    async def posting() -> int:
        return run.sender.in_flight

    await run.kill_at_work(await run.start("ingest"), posting, measured="entries in open POSTs")
    await run.start("ingest")


async def kill_consumer(run: Run) -> None:
    """The consumer dies between steps of its transaction (all of them in three runs), and at random."""
    await run.start("ingest")
    first = run.number * KILLS_A_RUN
    for step in [CONSUMER_STEPS[(first + n) % len(CONSUMER_STEPS)] for n in range(KILLS_A_RUN)]:
        victim = await run.start_to_die("consumer", step, nth=run.random.randint(1, 2))
        await run.death(victim, step, measured="batch in hand")
    victim = await run.start("consumer")
    await run.kill_at_work(victim, run.behind, measured="calls acknowledged and not recorded")
    await run.start("consumer")


async def kill_folder(run: Run) -> None:
    """Who adds to the rollups dies before and after its commit, and at random, while a second one does the same."""
    for role in ("ingest", "consumer", "folder"):
        await run.start(role)
    for step in run.random.sample(FOLD_STEPS, len(FOLD_STEPS)):
        victim = await run.start_to_die("folder", step, nth=run.random.randint(1, 2))
        await run.death(victim, step, measured="deltas in hand")

    async def pending() -> int:
        return int(await run.value("SELECT count(*) FROM usage_pending") or 0)

    await run.kill_at_work(await run.start("folder"), pending, measured="deltas pending")


async def repeat_and_shift(run: Run) -> None:
    """Batches come twice, cut anew and out of order, and calls of a month ago come again at the end."""
    run.wants_kills = False
    await run.start("consumer")
    old = run.calls.month_old(40)
    await run.send(run.calls.again([old, *run.calls.batches(20)]))
    await run.send([old[20:] + old[:20], *run.calls.again(run.calls.batches(6)), old[5:30]])
