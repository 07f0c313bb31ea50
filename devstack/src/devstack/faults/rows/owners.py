"""Row 12: more than one consumer, and one that wakes up after it was replaced."""

from __future__ import annotations

import asyncio
import signal

from devstack.faults.run import Kill, Run

_STORM_SECONDS = 4.0
_EVERY_SECONDS = 0.3
_FOUR = 4


async def owners(run: Run) -> None:
    """Consumers come and go every 0.3 s, four at most; one is stopped, loses its lock, and goes on all the same."""
    await run.start("ingest")
    await _storm(run)
    await _zombie(run)


async def _storm(run: Run) -> None:
    sending = asyncio.create_task(run.sender.send(run.calls.again(run.calls.batches(30))))
    living = [await run.start("consumer")]
    until = run.elapsed() + _STORM_SECONDS
    while run.elapsed() < until:
        if len(living) == _FOUR or (len(living) > 1 and run.random.random() < 0.4):
            victim = living.pop(run.random.randrange(len(living)))
            behind = await run.behind()
            await run.end(victim)
            if behind > 0:
                run.kills.append(
                    Kill(
                        "consumer", "in the storm", behind, "calls acknowledged, not recorded", run.elapsed()
                    )
                )
        else:
            living.append(await run.start("consumer"))
        await asyncio.sleep(_EVERY_SECONDS)
    await sending
    for victim in living:
        await run.end(victim)


async def _zombie(run: Run) -> None:
    """It is stopped with a batch in hand before its transaction; PostgreSQL drops its lock as for a dead machine."""
    sending = asyncio.create_task(run.sender.send(run.calls.again(run.calls.batches(8))))
    point = {"at": "gathered", "nth": 1, "after": 0, "signal": int(signal.SIGSTOP)}
    zombie = await run.start("consumer", failpoint=point)
    await run.until(lambda: run.stopped(zombie), "the consumer to be stopped with a batch in hand")
    run.kills.append(Kill("consumer", "stopped behind 'gathered'", 1, "batch in hand", run.elapsed()))
    await run.value("SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory'")
    await run.start("consumer")
    await sending
    await run.idle()
    # Its connection to the database was never used before: the fence alone is what stands between it and a double.
    zombie.signal(signal.SIGCONT)
    await run.send(run.calls.again(run.calls.batches(4)))

    async def fenced() -> bool:
        return b"Fenced" in run.log_of("consumer")

    try:
        await run.until(fenced, "the zombie to be turned away")
    except TimeoutError as error:
        run.differ(str(error))
