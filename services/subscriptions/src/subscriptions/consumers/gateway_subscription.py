"""kong-sync.subscription.v1: whether calls of a subscription pass the gateway."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from common.events import Incoming
from subscriptions.db import copies
from subscriptions.domain.subscription import Gateway


class GatewaySubscriptionEvent(Incoming, topic="kong-sync.subscription.v1"):
    """The fields that subscriptions read."""

    subscription_id: UUID
    state: str
    reason: str | None = None


async def on_gateway_subscription(
    session: AsyncSession,
    event: GatewaySubscriptionEvent,
    *,
    now: datetime,  # noqa: ARG001
) -> None:
    """What is shown of the subscription at the gateway is this, unless something newer is known."""
    gateway = Gateway(event.state, event.reason)
    await copies.put_gateway(session, event.subscription_id, gateway, version=event.version)
