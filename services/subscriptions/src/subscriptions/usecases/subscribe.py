"""Subscribing to a plan."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from common import outbox
from common.ids import new_id
from subscriptions.db import copies, subscriptions
from subscriptions.domain import lifecycle
from subscriptions.domain.errors import AlreadySubscribed
from subscriptions.domain.subscription import Subscription
from subscriptions.events.subscription_changed import SubscriptionChanged
from subscriptions.metrics import STARTED


async def subscribe(
    session: AsyncSession, *, organisation_id: UUID, plan_id: UUID, now: datetime
) -> Subscription:
    """The organisation has a subscription to a plan that is on sale: active, or waiting for its provider."""
    plan = await copies.find_plan(session, plan_id)
    api = await copies.find_api(session, plan.api_id) if plan else None
    await copies.lock_standing(session, organisation_id)
    subscription = lifecycle.start(
        plan,
        api,
        subscription_id=new_id(),
        organisation_id=organisation_id,
        plan_id=plan_id,
        standing=await copies.get_standing(session, organisation_id),
        now=now,
    )
    if not await subscriptions.insert_if_absent(session, subscription):  # the unique index decides
        raise AlreadySubscribed(subscription.api_id)
    await outbox.publish(session, SubscriptionChanged.of(subscription), now=now)
    STARTED.labels(subscription.status.value).inc()
    return subscription
