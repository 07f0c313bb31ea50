"""`kong-sync.api.v1`: how far the gateway is with an API."""

from __future__ import annotations

from typing import Self
from uuid import UUID

from common.events import Event


class ApiGatewayChanged(Event, topic="kong-sync.api.v1", type="gateway.api_progress_changed", key="api_id"):
    """The gateway's progress with an API as it now stands; `version` rises with every change."""

    api_id: UUID
    state: str
    reason: str | None
    proxy_url: str | None

    @classmethod
    def example(cls) -> Self:
        """An API whose calls are answered."""
        return cls(
            api_id=UUID("0193582e-0000-7000-8000-000000000001"), version=3, state="live", reason=None,
            proxy_url="http://127.0.0.1:8000/acme/pay/v1",
        )  # fmt: skip
