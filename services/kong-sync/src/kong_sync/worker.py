"""The worker of kong-sync: reads events, keeps the gateway reconciled, sends the outbox."""

from __future__ import annotations

import asyncio

from common.clock import SystemClock
from common.db import Database
from common.kafka.runner import Subscription, consume
from common.outbox.relay import relay
from common.worker import main, run_loops
from kong_sync.consumers.api import ApiEvent, on_api
from kong_sync.consumers.key import KeyEvent, on_key
from kong_sync.consumers.quota import QuotaEvent, on_quota
from kong_sync.consumers.subscription import SubscriptionEvent, on_subscription
from kong_sync.consumers.version import VersionEvent, on_version
from kong_sync.settings import Settings
from kong_sync.usecases.keep_reconciled import keep_reconciled
from kong_sync.usecases.republish import republish

SUBSCRIPTIONS = [
    Subscription(ApiEvent, on_api),
    Subscription(VersionEvent, on_version),
    Subscription(SubscriptionEvent, on_subscription),
    Subscription(KeyEvent, on_key),
    Subscription(QuotaEvent, on_quota),
]


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Until `stop` is set the gateway follows the events, at once after each batch of them."""
    db = Database(settings.database_worker_url.get_secret_value(), name="kong_sync worker")
    gateway, clock, wake = settings.gateway(), SystemClock(), asyncio.Event()

    async def events() -> None:
        await consume(
            SUBSCRIPTIONS, db=db, settings=settings, clock=clock, stop=stop, service="kong_sync", handled=wake.set
        )  # fmt: skip

    async def reconciler() -> None:
        await keep_reconciled(
            db, gateway, clock=clock, wake=wake, stop=stop, interval_seconds=settings.reconcile_interval_seconds
        )  # fmt: skip

    async def send() -> None:
        await relay(
            db=db, settings=settings, clock=clock, stop=stop, service="kong_sync", republish=republish
        )

    try:
        loops = {"events": events, "reconciler": reconciler, "relay": send}
        await run_loops(loops, stop=stop, service="kong_sync")
    finally:
        await gateway.close()
        await db.dispose()


if __name__ == "__main__":
    main(run, Settings, service="kong_sync")
