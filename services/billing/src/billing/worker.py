"""Billing's worker: events in and out, invoices, collection, payouts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import date, timedelta

from billing.clients.stripe import Stripe
from billing.clients.stripe_gateway import StripeGateway
from billing.consumers.adjustment import AdjustmentEvent, on_adjustment
from billing.consumers.organisation import OrganisationEvent, on_organisation
from billing.consumers.period import PeriodEvent, on_period
from billing.consumers.subscription import SubscriptionEvent, on_subscription
from billing.consumers.usage import UsageEvent, on_usage
from billing.db import spend
from billing.domain.period import month_of
from billing.settings import Settings
from billing.usecases.draft_invoice import draft_invoice
from billing.usecases.finish_invoice_runs import finish_invoice_runs
from billing.usecases.issue_invoice import issue_invoice
from billing.usecases.mark_past_due import mark_past_due
from billing.usecases.open_invoice_run import open_invoice_run
from billing.usecases.process_webhook import process_webhook
from billing.usecases.publish_spend import publish_spend
from billing.usecases.republish import republish
from billing.usecases.send_next_invoice import send_next_invoice
from billing.usecases.send_next_payout import send_next_payout
from billing.usecases.start_payout import start_payout
from billing.usecases.switch_billing import switch_billing
from common.clock import Clock, SystemClock
from common.db import Database
from common.kafka.runner import Subscription, consume
from common.outbox.relay import relay
from common.worker import Loop, every, main, run_loops

SUBSCRIPTIONS = (
    Subscription(SubscriptionEvent, on_subscription),
    Subscription(OrganisationEvent, on_organisation),
    Subscription(UsageEvent, on_usage),
    Subscription(PeriodEvent, on_period),
    Subscription(AdjustmentEvent, on_adjustment),
)
_PAYOUTS_EVERY_SECONDS = 5.0
_STANDING_EVERY_SECONDS = 60.0
# What is told is an estimate: a busy subscription is rated once in so long, however often its usage changes.
_SPEND_EVERY_SECONDS = 5.0
Step = Callable[[], Awaitable[bool]]


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Everything that billing does without being asked, until `stop` is set."""
    url = settings.database_worker_url.get_secret_value()
    db = Database(url, name="billing worker", pool_size=settings.database_pool_size)
    clock = SystemClock()
    stripe = StripeGateway(
        settings.stripe_secret_key.get_secret_value(),
        api_base=settings.stripe_api_base,
        timeout_seconds=settings.stripe_timeout_seconds,
    )
    try:
        async with db.begin() as session:
            await switch_billing(session, enabled=settings.enable_billing, now=clock.now())
        await run_loops(_loops(settings, db, stripe, clock, stop), stop=stop, service="billing")
    finally:
        await stripe.close()
        await db.dispose()


def _loops(
    settings: Settings, db: Database, stripe: Stripe, clock: Clock, stop: asyncio.Event
) -> dict[str, Loop]:
    loops: dict[str, Loop] = {
        "relay": lambda: relay(
            db=db, settings=settings, clock=clock, stop=stop, service="billing", republish=republish
        ),
        "events": lambda: consume(
            SUBSCRIPTIONS, db=db, settings=settings, clock=clock, stop=stop, service="billing"
        ),
    }
    idle = settings.worker_idle_seconds
    grace = timedelta(days=settings.past_due_after_days)
    loops["webhooks"] = lambda: _work([lambda: process_webhook(db, stripe, clock, grace=grace)], idle, stop)
    if settings.enable_billing:
        loops["invoices"] = lambda: _work(invoice_steps(settings, db, clock), idle, stop)
        loops["collection"] = lambda: _work([lambda: send_next_invoice(db, stripe, clock)], idle, stop)
        loops["payouts"] = lambda: _work(
            payout_steps(settings, db, stripe, clock), _PAYOUTS_EVERY_SECONDS, stop
        )
        loops["spend"] = lambda: _work([spend_step(db, clock)], _SPEND_EVERY_SECONDS, stop)
        loops["standing"] = lambda: _work([past_due_step(db, clock, grace)], _STANDING_EVERY_SECONDS, stop)
    return loops


def invoice_steps(settings: Settings, db: Database, clock: Clock) -> list[Step]:
    """From totals to issued invoices, each step a transaction of its own."""

    async def open_run() -> bool:
        async with db.begin() as session:
            return await open_invoice_run(session, now=clock.now())

    async def draft() -> bool:
        async with db.begin() as session:
            return await draft_invoice(
                session, fee_percent=settings.platform_fee_percent, minimum=settings.minimum_invoice_minor_units,
                now=clock.now(),
            )  # fmt: skip

    async def issue() -> bool:
        async with db.begin() as session:
            return await issue_invoice(session, seller=settings.seller, now=clock.now())

    async def finish() -> bool:
        async with db.begin() as session:
            return await finish_invoice_runs(session, now=clock.now()) > 0

    return [open_run, draft, issue, finish]


def payout_steps(settings: Settings, db: Database, stripe: Stripe, clock: Clock) -> list[Step]:
    """Set money aside, then send it."""

    async def start() -> bool:
        async with db.begin() as session:
            return await start_payout(session, minimum=settings.minimum_payout_minor_units, now=clock.now())

    return [start, lambda: send_next_payout(db, stripe, clock)]


def past_due_step(db: Database, clock: Clock, grace: timedelta) -> Step:
    """Whoever has not paid for too long, one organisation a transaction."""

    async def mark() -> bool:
        async with db.begin() as session:
            return await mark_past_due(session, grace=grace, now=clock.now())

    return mark


def spend_step(db: Database, clock: Clock) -> Step:
    """What months cost so far, one organisation a transaction; a month that begins has its fees at once."""
    begun: date | None = None

    async def publish() -> bool:
        nonlocal begun
        month = month_of(clock.now()).start.date()
        async with db.begin() as session:
            if month != begun:
                await spend.begin_month(session, month, now=clock.now())
        begun = month
        async with db.begin() as session:
            return await publish_spend(session, now=clock.now())

    return publish


async def work_off(steps: Sequence[Step]) -> None:
    """Every step is repeated, in order, until none finds anything to do."""
    while any([await step() for step in steps]):
        pass


async def _work(steps: Sequence[Step], idle_seconds: float, stop: asyncio.Event) -> None:
    await every(idle_seconds, lambda: work_off(steps), stop=stop)


if __name__ == "__main__":
    main(run, Settings, service="billing")
