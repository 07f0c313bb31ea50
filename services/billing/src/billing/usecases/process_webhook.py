"""What a stored webhook leads to."""

from __future__ import annotations

from datetime import timedelta

from billing.clients.stripe import Stripe, StripeRefused
from billing.db import webhooks
from billing.db.webhooks import WebhookEvent
from billing.usecases.refresh_connect_account import refresh_connect_account
from billing.usecases.refresh_invoice import refresh_invoice
from common.clock import Clock
from common.db import Database
from common.errors import Unavailable
from common.log import get_logger

_LEASE = timedelta(seconds=60)
_LONGEST_WAIT_SECONDS = 900
log = get_logger()


async def process_webhook(db: Database, stripe: Stripe, clock: Clock, *, grace: timedelta) -> bool:
    """One stored event has had its effect, or will be tried again later. False: none waits."""
    async with db.begin() as session:
        now = clock.now()
        event = await webhooks.claim(session, now=now, lease_until=now + _LEASE)
    if event is None:
        return False
    try:
        await _apply(db, stripe, clock, event, grace=grace)
    except (Unavailable, StripeRefused) as error:
        wait = timedelta(seconds=min(2**event.failures, _LONGEST_WAIT_SECONDS))
        async with db.begin() as session:
            await webhooks.record_failure(session, event.id, error=str(error), again_at=clock.now() + wait)
        log.warning("webhook.postponed", event_id=event.id, type=event.type, error=str(error))
        return True
    async with db.begin() as session:
        await webhooks.record_done(session, event.id)
    return True


async def _apply(
    db: Database, stripe: Stripe, clock: Clock, event: WebhookEvent, *, grace: timedelta
) -> None:
    """Only the object's present state at Stripe counts, so that order and repeats do no harm."""
    if event.object_id is None:
        return
    if event.type.startswith("invoice.") and event.type != "invoice.deleted":
        await refresh_invoice(db, stripe, clock, event.object_id, grace=grace)
    elif event.type == "account.updated":
        await refresh_connect_account(db, stripe, clock, event.object_id)
