"""Health checks of the parts that every service talks to."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import redis.asyncio as redis

from common.http.health import Check


def kafka_check(bootstrap_servers: str) -> Check:
    """One of the brokers accepts a connection."""

    async def check() -> None:
        host, _, port = bootstrap_servers.split(",", maxsplit=1)[0].rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.close()

    return check


def redis_check(url: str) -> Check:
    """Redis answers PING."""

    async def check() -> None:
        async with redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as client:
            await client.ping()

    return check


def connect_check(url: str) -> Check:
    """The host of `url` accepts a connection."""

    async def check() -> None:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        _, writer = await asyncio.open_connection(parts.hostname, port)
        writer.close()

    return check
