"""The gateway as the use cases see it: both of its ports, and how our entities look in it."""

from __future__ import annotations

from dataclasses import dataclass, field

from kong_sync.clients.kong_admin import KongAdmin
from kong_sync.clients.kong_proxy import KongProxy
from kong_sync.domain.edge import Edge
from kong_sync.domain.guard import DeleteBudget


@dataclass(frozen=True, slots=True)
class Gateway:
    """Everything that a pass needs to know of the gateway. `enabled` is false where the marketplace runs without."""

    admin: KongAdmin
    proxy: KongProxy
    edge: Edge
    public_proxy_url: str
    enabled: bool = True
    budget: DeleteBudget = field(default_factory=DeleteBudget)
    canary_connections: int = 3
    canary_timeout_seconds: float = 10.0
    writes_at_once: int = 4

    async def close(self) -> None:
        """All connections are closed."""
        await self.admin.close()
        await self.proxy.close()
