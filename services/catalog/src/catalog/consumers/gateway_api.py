"""kong-sync.api.v1: whether an API can be called, and where."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from catalog.db import gateway_states
from catalog.domain.api import Gateway
from common.events import Incoming


class GatewayApiEvent(Incoming, topic="kong-sync.api.v1"):
    """The fields that the catalogue reads."""

    api_id: UUID
    state: str
    reason: str | None = None
    proxy_url: str | None = None


async def on_gateway_api(session: AsyncSession, event: GatewayApiEvent, *, now: datetime) -> None:  # noqa: ARG001
    """What is shown of the API at the gateway is this, unless something newer is known."""
    gateway = Gateway(event.state, event.reason, event.proxy_url)
    await gateway_states.put(session, event.api_id, gateway, version=event.version)
