"""Which event tells of a progress."""

from __future__ import annotations

from uuid import UUID

from common.events import Event
from kong_sync.domain.entities import Concern, Owner
from kong_sync.domain.progress import Progress
from kong_sync.events.api_gateway_changed import ApiGatewayChanged
from kong_sync.events.subscription_gateway_changed import SubscriptionGatewayChanged


def progress_event(owner: Owner, version: int, progress: Progress) -> Event:
    """The event about `owner`, an API or a subscription."""
    if owner.concern is Concern.API:
        return ApiGatewayChanged(
            api_id=UUID(owner.id), version=version, state=progress.state, reason=progress.reason,
            proxy_url=progress.proxy_url,
        )  # fmt: skip
    return SubscriptionGatewayChanged(
        subscription_id=UUID(owner.id), version=version, state=progress.state, reason=progress.reason
    )
