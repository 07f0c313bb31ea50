"""A gateway's nodes, asked for their counters."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx

from metering.domain.errors import GatewayUnread
from metering.domain.gateway_counters import Reading, read_metrics

_MOST_BYTES = 256 * 1024 * 1024


class GatewayMetrics:
    """Reads `/metrics` of every node. A reading that fails is not repeated: the next round covers its time too."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        timeout_seconds: float = 5.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._urls = tuple(urls)
        self._http = httpx.AsyncClient(timeout=timeout_seconds, transport=transport, trust_env=False)

    async def close(self) -> None:
        """The connections are closed."""
        await self._http.aclose()

    async def read(self) -> dict[str, Reading]:
        """Every node's counters, asked at the same time; GatewayUnread when one of them did not say."""
        readings = await asyncio.gather(*(self._read(url) for url in self._urls))
        return dict(zip(self._urls, readings, strict=True))

    async def _read(self, url: str) -> Reading:
        try:
            answer = await self._http.get(url)
            answer.raise_for_status()
            if len(answer.content) > _MOST_BYTES:
                raise GatewayUnread(f"{url} answered more than {_MOST_BYTES} bytes")
            return await asyncio.to_thread(read_metrics, answer.text)
        except (httpx.HTTPError, ValueError) as error:
            raise GatewayUnread(f"{url}: {type(error).__name__} {error}"[:200]) from error
