"""Row 7: between us and PostgreSQL. A COMMIT whose answer is lost."""

from __future__ import annotations

from devstack.faults.proxy import proxied
from devstack.faults.run import Kill, Run

_LOSSES = 4


async def lose_commits(run: Run) -> None:
    """The connection breaks after COMMIT was sent: it was carried out, or was not, and nobody can say."""
    async with proxied(run.lab.postgres.port) as proxy:
        direct = run.environment["DATABASE_WORKER_URL"]
        run.environment["DATABASE_WORKER_URL"] = direct.replace(
            f":{run.lab.postgres.port}/", f":{proxy.port}/"
        )
        await run.start("ingest")
        victim = await run.start("consumer")
        for number in range(_LOSSES):
            proxy.arrives = run.random.random() < 0.7
            proxy.losses = 1

            async def lost(wanted: int = number + 1) -> bool:
                await run.sender.send(run.calls.again(run.calls.batches(2)))
                return proxy.lost >= wanted

            await run.until(lost, "a COMMIT to get lost", seconds=60)
            where = "answer to COMMIT lost" if proxy.arrives else "COMMIT lost"
            run.kills.append(Kill("connection", where, 1, "transaction", run.elapsed()))
        await run.send(run.calls.batches(4))
        await run.idle()
        await run.end(victim)
        run.environment["DATABASE_WORKER_URL"] = direct
    await run.start("consumer")
