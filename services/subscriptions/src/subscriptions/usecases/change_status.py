"""Canceling, pausing, resuming, approving and rejecting a subscription."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from common import outbox
from subscriptions.db import subscriptions
from subscriptions.domain import lifecycle
from subscriptions.domain.lifecycle import Action
from subscriptions.domain.subscription import Standing, Subscription
from subscriptions.events.subscription_changed import SubscriptionChanged
from subscriptions.metrics import STATUS_CHANGES


async def change_status(
    session: AsyncSession, subscription: Subscription, action: Action, *, standing: Standing, now: datetime,
    reason: str | None = None,
) -> Subscription:  # fmt: skip
    """The subscription after `action`; unchanged when it is already so.

    The caller holds the lock of the consumer's standing, and then that of the row: always in this order.
    """
    changed = lifecycle.move(subscription, action, standing=standing, now=now, reason=reason)
    if changed is subscription:
        return subscription
    await subscriptions.update_subscription(session, changed)
    await outbox.publish(session, SubscriptionChanged.of(changed), now=now)
    STATUS_CHANGES.labels(changed.status.value).inc()
    return changed
