"""http-log: entries posted to a collector, by way of a queue."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from urllib.parse import urlsplit

from devstack.kong.client import Address, UpstreamError, fetch
from devstack.kong.exchange import Exchange
from devstack.kong.fields import Json
from devstack.kong.headers import Headers
from devstack.kong.index import Instance
from devstack.kong.logentry import encode_entry
from devstack.kong.plugins.base import Node, Plugin
from devstack.kong.plugins.functions import apply_custom_fields
from devstack.kong.queue import LogQueue, QueueSettings

_SERVER_SETTINGS = (
    "http_endpoint", "method", "content_type", "timeout", "keepalive", "retry_count", "queue_size", "flush_timeout",
)  # fmt: skip


class HttpLog(Plugin):
    name = "http-log"

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._queues: dict[str, LogQueue] = {}
        self._configs: dict[str, Json] = {}

    def log(self, exchange: Exchange, instance: Instance) -> None:
        apply_custom_fields(self.node, exchange, instance)
        entry = encode_entry(exchange, self.node.workspace)
        config = instance.config
        name = ":".join(str(config.get(setting)) for setting in _SERVER_SETTINGS)
        self._configs[name] = config  # the newest config serves the whole queue, as in Kong
        queue = self._queues.get(name)
        if queue is None or (queue.idle and queue.settings != _settings(config)):
            queue = self._queues[name] = self._make(name, config)
        queue.put(entry)

    def _make(self, name: str, config: Json) -> LogQueue:
        dropped = self.node.metrics.queue_dropped
        endpoint = config["http_endpoint"]

        def lost(count: int) -> None:
            dropped[endpoint] = dropped.get(endpoint, 0) + count

        async def send(batch: Sequence[bytes]) -> str | None:
            return await self._send(self._configs[name], batch)

        return LogQueue(endpoint, _settings(config), send, on_lost=lost)

    async def _send(self, config: Json, batch: Sequence[bytes]) -> str | None:
        single = _settings(config).max_batch_size == 1
        payload = batch[0] if single else b"[" + b",".join(batch) + b"]"
        url = urlsplit(config["http_endpoint"])
        tls = url.scheme == "https"
        port = url.port or (443 if tls else 80)
        host = url.hostname or ""
        headers = Headers(
            [("Host", f"{host}:{port}" if url.port else host), ("Content-Type", config["content_type"])]
        )
        for name, value in (config.get("headers") or {}).items():
            headers.set(name, self.node.vault.resolve(value))
        if url.username:
            pair = f"{url.username}:{url.password or ''}".encode()
            headers.set("Authorization", "Basic " + base64.b64encode(pair).decode())
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        try:
            async with asyncio.timeout(config["timeout"] / 1000):
                address = Address(host, port, tls=tls, verify=False)
                status, body = await fetch(
                    self.node.pool, address, config["method"], target, headers=headers, payload=payload
                )
        except (UpstreamError, TimeoutError, OSError) as error:
            return f"failed request to {host}:{port}: {error or 'timeout'}"
        if status < 400:
            return None
        return f"request to {host}:{port} returned status code {status} and body {body[:200]!r}"

    async def flush(self, seconds: float) -> None:
        await asyncio.gather(*(queue.flush(seconds) for queue in self._queues.values()))


def _settings(config: Json) -> QueueSettings:
    queue = dict(config["queue"])
    if config.get("queue_size") not in (None, 1):
        queue["max_batch_size"] = config["queue_size"]
    if config.get("flush_timeout") not in (None, 2):
        queue["max_coalescing_delay"] = config["flush_timeout"]
    return QueueSettings.of(queue)
