"""The worker of accounts: sends the outbox, takes alerts, and sends messages to people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from accounts.clients.smtp import Mailer
from accounts.consumers.alert import AlertEvent, on_alert
from accounts.settings import Settings
from accounts.usecases.republish import republish
from accounts.usecases.send_next_notification import send_next_notification
from common.clock import SystemClock
from common.db import Database
from common.kafka.runner import Subscription, consume
from common.outbox.relay import relay
from common.worker import every, main, run_loops

if TYPE_CHECKING:
    import asyncio

    from common.worker import Loop

SUBSCRIPTIONS = (Subscription(AlertEvent, on_alert),)
_MAIL_SECONDS = 1.0


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Relay events, take alerts and send messages until `stop` is set."""
    db = Database(settings.database_worker_url.get_secret_value(), name="accounts worker", pool_size=3)
    clock = SystemClock()
    loops: dict[str, Loop] = {
        "relay": lambda: relay(
            db=db, settings=settings, clock=clock, stop=stop, service="accounts", republish=republish
        ),
        "events": lambda: consume(
            SUBSCRIPTIONS, db=db, settings=settings, clock=clock, stop=stop, service="accounts"
        ),
    }
    if settings.smtp_url is not None:
        mailer = Mailer(
            settings.smtp_url.get_secret_value(),
            sender=settings.mail_from,
            timeout_seconds=settings.smtp_timeout_seconds,
        )

        async def mail() -> None:
            while not stop.is_set() and await send_next_notification(db, mailer, clock):
                pass

        loops["mail"] = lambda: every(_MAIL_SECONDS, mail, stop=stop)
    try:
        await run_loops(loops, stop=stop, service="accounts")
    finally:
        await db.dispose()


if __name__ == "__main__":
    main(run, Settings, service="accounts")
