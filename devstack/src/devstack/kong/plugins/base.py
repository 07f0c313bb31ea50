"""What a plugin may do, phase by phase."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from devstack.kong.exchange import Exchange
from devstack.kong.index import Index, Instance
from devstack.kong.metrics import Metrics
from devstack.kong.store import Store
from devstack.kong.vault import Vault

if TYPE_CHECKING:
    from devstack.kong.client import Pool
    from devstack.kong.lua.runtime import LuaHost


@dataclass(frozen=True, slots=True)
class Node:
    """What all plugins of one gateway share."""

    store: Store
    index: Index
    vault: Vault
    metrics: Metrics
    lua: LuaHost
    pool: Pool
    state: Path
    workspace: str


class Plugin:
    """Does nothing in any phase; a plugin overrides the phases that it takes part in."""

    name = ""

    def __init__(self, node: Node) -> None:
        self.node = node

    def rewrite(self, exchange: Exchange, instance: Instance) -> None:
        """Before routing; global instances only."""

    async def access(self, exchange: Exchange, instance: Instance) -> None:
        """Before the upstream is called; may end the request by `exchange.exit`."""

    def header_filter(self, exchange: Exchange, instance: Instance) -> None:
        """Before the answer's head leaves."""

    def filters_body(self, exchange: Exchange, instance: Instance) -> bool:
        """Whether `body_filter` wants to see this answer."""
        del exchange, instance
        return False

    def body_filter(self, exchange: Exchange, instance: Instance, data: bytes, *, last: bool) -> bytes:
        """A piece of the body as it shall leave."""
        del exchange, instance, last
        return data

    def log(self, exchange: Exchange, instance: Instance) -> None:
        """Once everything about the request is known."""

    async def flush(self, seconds: float) -> None:
        """Shutting down: what is still held is handed on within this time."""


Deferred = Callable[[], None]
