"""The worker of accounts: sends the outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.settings import Settings
from accounts.usecases.republish import republish
from common.clock import SystemClock
from common.db import Database
from common.outbox.relay import relay
from common.worker import main, run_loops

if TYPE_CHECKING:
    import asyncio


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Relay events until `stop` is set."""
    db = Database(settings.database_worker_url.get_secret_value(), name="accounts worker", pool_size=2)
    clock = SystemClock()

    async def send() -> None:
        await relay(db=db, settings=settings, clock=clock, stop=stop, service="accounts", republish=republish)

    try:
        await run_loops({"relay": send}, stop=stop, service="accounts")
    finally:
        await db.dispose()


if __name__ == "__main__":
    main(run, Settings, service="accounts")
