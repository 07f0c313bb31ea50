"""`kong-sync.subscription.v1`: how far the gateway is with a subscription."""

from __future__ import annotations

from typing import Self
from uuid import UUID

from common.events import Event


class SubscriptionGatewayChanged(
    Event,
    topic="kong-sync.subscription.v1",
    type="gateway.subscription_progress_changed",
    key="subscription_id",
):
    """The gateway's progress with a subscription as it now stands; `version` rises with every change."""

    subscription_id: UUID
    state: str
    reason: str | None

    @classmethod
    def example(cls) -> Self:
        """A subscription whose keys work."""
        return cls(
            subscription_id=UUID("0193582e-0000-7000-8000-000000000002"), version=3, state="live", reason=None
        )
