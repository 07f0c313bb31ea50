"""Counters of calls in windows: in this process, in the node's database, or in Redis."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from devstack.kong.fields import Json
from devstack.kong.vault import Vault

if TYPE_CHECKING:
    from redis.asyncio import Redis

# All windows are looked at, and counted only when none of them is used up: one step, so that no two calls share a slot.
_TAKE = """
local used, stopped = {}, 0
for i, key in ipairs(KEYS) do
  used[i] = tonumber(redis.call('GET', key) or '0')
  if tonumber(ARGV[i]) - used[i] <= 0 then stopped = i end
end
if stopped == 0 then
  for i, key in ipairs(KEYS) do
    if redis.call('INCRBY', key, 1) == 1 then redis.call('EXPIRE', key, ARGV[#KEYS + i]) end
  end
end
used[#used + 1] = stopped
return used
"""


class CountersDown(Exception):
    """The counters cannot be reached."""


@dataclass(frozen=True, slots=True)
class Window:
    """One limit and the window in which it counts."""

    period: str
    limit: float
    start: int
    seconds: int
    key: str


Taken = tuple[list[int], Window | None]  # calls before this one, and the window that is used up


def _decide(windows: Sequence[Window], used: list[int]) -> Window | None:
    full = [window for window, count in zip(windows, used, strict=True) if window.limit - count <= 0]
    return full[-1] if full else None


class LocalCounters:
    """In memory, gone with the process, as Kong's shared memory is."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, float]] = {}
        self._prune_at = 10_000

    def take(self, windows: Sequence[Window], now: float) -> Taken:
        used = [self._counts.get(window.key, (0, 0.0))[0] for window in windows]
        stopped = _decide(windows, used)
        if stopped is None:
            for window, count in zip(windows, used, strict=True):
                self._counts[window.key] = (count + 1, window.start + window.seconds + 1)
            if len(self._counts) > self._prune_at:
                self._prune(now)
        return used, stopped

    def _prune(self, now: float) -> None:
        self._counts = {key: held for key, held in self._counts.items() if held[1] > now}
        self._prune_at = max(10_000, 2 * len(self._counts))


class ClusterCounters:
    """In the node's database: they outlive the process."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def take(self, windows: Sequence[Window], now: float) -> Taken:
        query = "SELECT value FROM counter WHERE name = ?"
        rows = [self._db.execute(query, (window.key,)).fetchone() for window in windows]
        used = [int(row[0]) if row else 0 for row in rows]
        stopped = _decide(windows, used)
        if stopped is None:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM counter WHERE expires < ?", (now,))
            for window in windows:
                self._db.execute(
                    "INSERT INTO counter VALUES (?, 1, ?) ON CONFLICT (name) DO UPDATE SET value = value + 1",
                    (window.key, window.start + window.seconds + 60),
                )
            self._db.execute("COMMIT")
        return used, stopped


class RedisCounters:
    """In Redis, shared by every node that is given the same server."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._clients: dict[tuple[Any, ...], Redis] = {}

    async def take(self, config: Json, windows: Sequence[Window]) -> Taken:
        """One atomic script. Raises CountersDown."""
        from redis.exceptions import RedisError  # takes 0.1 s to import, and few need it

        client = self._client(config)
        arguments = [*[window.limit for window in windows], *[window.seconds for window in windows]]
        keys = [window.key for window in windows]
        try:
            answer: list[int] = await client.eval(_TAKE, len(keys), *keys, *arguments)
        except (RedisError, OSError, TimeoutError) as error:
            raise CountersDown(str(error)) from error
        stopped = answer[-1]
        return answer[:-1], windows[stopped - 1] if stopped else None

    def _client(self, config: Json) -> Redis:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        names = ("host", "port", "database", "username", "password", "timeout", "ssl")
        key = tuple(config.get(name) for name in names)
        if key not in self._clients:
            seconds = config["timeout"] / 1000
            self._clients[key] = Redis(
                host=config["host"],
                port=config["port"],
                db=config.get("database") or 0,
                username=self._secret(config.get("username")),
                password=self._secret(config.get("password")),
                socket_timeout=seconds,
                socket_connect_timeout=seconds,
                ssl=bool(config.get("ssl")),
                max_connections=64,
                retry=Retry(
                    NoBackoff(), 1
                ),  # a connection gone stale is replaced; a server that is down is down
            )
        return self._clients[key]

    def _secret(self, value: str | None) -> str | None:
        return self._vault.resolve(value) if value else None

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()
