"""Puts the parts together: one store, one index, two ports."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack.kong.admin.app import AdminApi, endpoint_words
from devstack.kong.admin.collections import Collections
from devstack.kong.admin.declarative import Declarative
from devstack.kong.admin.info import Info
from devstack.kong.chain import Chain
from devstack.kong.client import Pool
from devstack.kong.ids import new_id
from devstack.kong.index import Index
from devstack.kong.lua.runtime import LuaHost
from devstack.kong.metrics import Metrics
from devstack.kong.plugins.base import Node
from devstack.kong.plugins.registry import make_plugins
from devstack.kong.proxy import Proxy
from devstack.kong.server import HttpServer
from devstack.kong.store import Store
from devstack.kong.upstream import Upstreams
from devstack.kong.vault import Vault


@dataclass(frozen=True, slots=True)
class Options:
    state: Path
    admin_port: int = 8001
    proxy_port: int = 8000
    propagation_delay: float = 0.0
    database: bool = (
        True  # without one, the whole configuration is one document, and only `POST /config` changes it
    )
    declarative_config: Path | None = None  # that document, at the start
    flush_seconds: float = 5.0  # what a stop waits for requests in flight, and then for queued log entries


class Gateway:
    """A running double. `start` listens; `stop` hands on what is still queued."""

    def __init__(self, options: Options, environment: Mapping[str, str]) -> None:
        self._options = options
        self._store = Store(options.state)
        collections = Collections(self._store, database=options.database)
        declarative = None if options.database else Declarative(self._store, collections)
        if declarative is not None:
            document = options.declarative_config
            declarative.load_text("_format_version: '3.0'" if document is None else document.read_text())
        node_id = self._store.node_value("node_id", new_id)
        workspace = self._store.node_value("workspace", new_id)
        vault = Vault(environment)
        requires = environment.get("KONG_UNTRUSTED_LUA_SANDBOX_REQUIRES", "")
        lua = LuaHost(
            vault, requires=frozenset(name.strip() for name in requires.split(",")), node_id=node_id
        )
        metrics, self._pool = Metrics(), Pool()
        index = Index(self._store, delay_seconds=options.propagation_delay)
        node = Node(self._store, index, vault, metrics, lua, self._pool, options.state, workspace)
        self._plugins = make_plugins(node)
        proxy = Proxy(index, Chain(self._plugins, index), Upstreams(index, self._pool))
        self._ports = {"admin": options.admin_port, "proxy": options.proxy_port}
        self._proxy = HttpServer(proxy)
        info = Info(
            store=self._store,
            metrics=metrics,
            node_id=node_id,
            ports=self._ports,
            connections=self._connections,
            endpoints=lambda: [
                *endpoint_words(),
                "/",
                "/status",
                "/metrics",
                "/config",
                "/tags",
                "/endpoints",
                "/plugins/enabled",
            ],
            plugins_in_use=lambda: index.plugin_names,
            configuration_hash=None if declarative is None else lambda: declarative.hash,
        )
        self._admin = HttpServer(AdminApi(collections, info, declarative))

    async def start(self) -> dict[str, int]:
        """Listen; the ports listened on."""
        self._ports["proxy"] = await self._proxy.start(self._options.proxy_port)
        self._ports["admin"] = await self._admin.start(self._options.admin_port)
        print(
            f"kong double: admin {self._ports['admin']}, proxy {self._ports['proxy']}",
            file=sys.stderr,
            flush=True,
        )
        return self._ports

    async def stop(self) -> None:
        """Stop accepting, let requests end, send queued log entries for a few seconds."""
        seconds = self._options.flush_seconds
        await self._proxy.stop(seconds)
        await asyncio.gather(*(plugin.flush(seconds) for plugin in self._plugins))
        await self._admin.stop(1.0)
        self._pool.close()
        self._store.close()

    def _connections(self) -> dict[str, int]:
        servers = (self._proxy, self._admin)
        accepted = sum(server.accepted for server in servers)
        active = sum(server.active for server in servers)
        total = sum(server.requests for server in servers)
        return {
            "accepted": accepted,
            "handled": accepted,
            "active": active,
            "writing": active,
            "total": total,
        }
