"""The worker of subscriptions: sends its events, follows those of others, ends keys in time."""

import asyncio

from common.clock import SystemClock
from common.db import Database
from common.kafka.runner import Subscription, consume
from common.outbox.relay import relay
from common.worker import every, main, run_loops
from subscriptions.consumers.api import ApiEvent, on_api
from subscriptions.consumers.gateway_subscription import GatewaySubscriptionEvent, on_gateway_subscription
from subscriptions.consumers.key_use import KeyUseEvent, on_key_use
from subscriptions.consumers.plan import PlanEvent, on_plan
from subscriptions.consumers.quota import QuotaEvent, on_quota
from subscriptions.consumers.standing import StandingEvent, on_standing
from subscriptions.consumers.version import VersionEvent, on_version
from subscriptions.settings import Settings
from subscriptions.usecases.expire_keys import expire_keys
from subscriptions.usecases.republish import republish

SUBSCRIPTIONS = [
    Subscription(ApiEvent, on_api),
    Subscription(PlanEvent, on_plan),
    Subscription(VersionEvent, on_version),
    Subscription(StandingEvent, on_standing),
    Subscription(GatewaySubscriptionEvent, on_gateway_subscription),
    Subscription(QuotaEvent, on_quota),
    Subscription(KeyUseEvent, on_key_use),
]


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Run until `stop` is set."""
    db = Database(settings.database_worker_url.get_secret_value(), name="subscriptions worker")
    clock, service = SystemClock(), "subscriptions"

    async def end_keys() -> None:
        await expire_keys(db, now=clock.now())

    try:
        await run_loops(
            {
                "relay": lambda: relay(
                    db=db, settings=settings, clock=clock, stop=stop, service=service, republish=republish
                ),
                "events": lambda: consume(
                    SUBSCRIPTIONS, db=db, settings=settings, clock=clock, stop=stop, service=service
                ),
                "expiry": lambda: every(settings.expiry_check_seconds, end_keys, stop=stop),
            },
            stop=stop,
            service=service,
        )
    finally:
        await db.dispose()


if __name__ == "__main__":
    main(run, Settings, service="subscriptions")
