"""One changing request to Stripe, safe to repeat after any crash."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from billing.clients.stripe import StripeFailed, StripeRefused
from billing.db import stripe_calls
from billing.metrics import STRIPE_CALLS
from common.clock import Clock
from common.db import Database
from common.errors import Unavailable

T = TypeVar("T")


async def call_stripe(
    db: Database,
    clock: Clock,
    *,
    key: str,
    operation: str,
    send: Callable[[str], Awaitable[T]],
    find: Callable[[], Awaitable[T | None]] | None = None,
) -> T:
    """What Stripe answers to `send(idempotency key)`; the key stands in our database before it is sent.

    A request that was sent before is looked for first (`find`): Stripe forgets keys after a day, and repeats an
    inner failure under the same key although the effect may be there.
    """
    async with db.begin() as session:
        attempt = await stripe_calls.begin(session, key=key, operation=operation, now=clock.now())
    result = await find() if find is not None and attempt.number > 1 else None
    outcome = "found"
    if result is None:
        try:
            result, outcome = await send(attempt.key), "answered"
        except StripeFailed:
            async with db.begin() as session:
                await stripe_calls.burn(session, key=key)
            STRIPE_CALLS.labels(operation, "failed").inc()
            raise
        except Unavailable:
            STRIPE_CALLS.labels(operation, "unavailable").inc()
            raise
        except StripeRefused as refusal:
            async with db.begin() as session:
                await stripe_calls.end(
                    session, key=key, outcome=f"refused: {refusal.reason}", now=clock.now()
                )
            STRIPE_CALLS.labels(operation, "refused").inc()
            raise
    async with db.begin() as session:
        await stripe_calls.end(session, key=key, outcome=str(getattr(result, "id", result)), now=clock.now())
    STRIPE_CALLS.labels(operation, outcome).inc()
    return result
