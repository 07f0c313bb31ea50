"""Kong's proxy port, as a client of an API sees it: asked only for the probe."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from kong_sync.clients.http1 import Http1
from kong_sync.domain.canary import probe_body, probe_key, probe_path


@dataclass(frozen=True, slots=True)
class Sighting:
    """Whether the canary was seen on every connection, and if not, what was seen instead.

    `lost` says that what the canary hangs on is not in Kong.
    """

    seen: bool
    instead: str = ""
    lost: bool = False


class KongProxy:
    """A client of the proxy at `url`."""

    def __init__(
        self, url: str, *, timeout_seconds: float = 3.0, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._client = httpx.AsyncClient(
            base_url=url, timeout=timeout_seconds, transport=transport or Http1(), trust_env=False,
            headers={"Connection": "close"},  # none is kept: each question may reach another worker
        )  # fmt: skip

    async def look(self, namespace: str, generation: str, *, connections: int) -> Sighting:
        """Has every worker that we meet on `connections` fresh connections loaded this generation?"""
        for _ in range(connections):
            try:
                response = await self._client.get(
                    probe_path(namespace, generation), headers={"X-API-Key": probe_key(generation)}
                )
            except httpx.TransportError as error:
                return Sighting(seen=False, instead=f"{type(error).__name__}: {error}")
            if response.status_code != 200 or response.text != probe_body(generation):
                return Sighting(seen=False, instead=f"{response.status_code} {response.text[:200]}")
        return Sighting(seen=True)

    async def close(self) -> None:
        """All connections are closed."""
        await self._client.aclose()
