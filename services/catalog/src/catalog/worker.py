"""The catalogue's worker: sends its events, follows those of others."""

import asyncio

from catalog.consumers.api_measured import ApiMeasuredEvent, on_api_measured
from catalog.consumers.gateway_api import GatewayApiEvent, on_gateway_api
from catalog.consumers.organisation import OrganisationEvent, on_organisation
from catalog.settings import Settings
from catalog.usecases.republish import republish
from common.clock import SystemClock
from common.db import Database
from common.kafka.runner import Subscription, consume
from common.outbox.relay import relay
from common.worker import main, run_loops

SUBSCRIPTIONS = [
    Subscription(OrganisationEvent, on_organisation),
    Subscription(GatewayApiEvent, on_gateway_api),
    Subscription(ApiMeasuredEvent, on_api_measured),
]


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Run until `stop` is set."""
    db = Database(settings.database_worker_url.get_secret_value(), name="catalog worker")
    clock = SystemClock()
    try:
        await run_loops(
            {
                "relay": lambda: relay(
                    db=db, settings=settings, clock=clock, stop=stop, service="catalog", republish=republish
                ),
                "events": lambda: consume(
                    SUBSCRIPTIONS, db=db, settings=settings, clock=clock, stop=stop, service="catalog"
                ),
            },
            stop=stop,
            service="catalog",
        )
    finally:
        await db.dispose()


if __name__ == "__main__":
    main(run, Settings, service="catalog")
