"""Runs the plugins of a request, phase by phase, in Kong's order."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

from devstack.kong.exchange import Exchange
from devstack.kong.index import Index
from devstack.kong.plugins.base import Plugin


class Chain:
    """For each plugin the most specific instance runs, and only that."""

    def __init__(self, plugins: Sequence[Plugin], index: Index) -> None:
        self._plugins = plugins
        self._index = index

    def rewrite(self, exchange: Exchange) -> None:
        for plugin in self._plugins:
            instance = self._index.most_specific(plugin.name, None, None, None)
            if instance is not None:
                plugin.rewrite(exchange, instance)

    async def access(self, exchange: Exchange) -> None:
        """Later phases run for every plugin found here, also for those that an early exit kept from running."""
        route = exchange.route["id"] if exchange.route else None
        service = exchange.service["id"] if exchange.service else None
        for plugin in self._plugins:
            consumer = exchange.consumer["id"] if exchange.consumer else None
            instance = self._index.most_specific(plugin.name, route, service, consumer)
            if instance is None:
                continue
            exchange.collected.append((plugin, instance))
            if exchange.exited is None:
                try:
                    await plugin.access(exchange, instance)
                except Exception:
                    traceback.print_exc(file=sys.stderr)
                    exchange.error(500, "An unexpected error occurred")

    def collect_global(self, exchange: Exchange) -> None:
        """Where no route matched, only global instances see the answer."""
        for plugin in self._plugins:
            instance = self._index.most_specific(plugin.name, None, None, None)
            if instance is not None:
                exchange.collected.append((plugin, instance))

    def header_filter(self, exchange: Exchange) -> None:
        for plugin, instance in exchange.collected:
            plugin.header_filter(exchange, instance)

    def filters_body(self, exchange: Exchange) -> bool:
        return any(plugin.filters_body(exchange, instance) for plugin, instance in exchange.collected)

    def body_filter(self, exchange: Exchange, data: bytes, *, last: bool) -> bytes:
        for plugin, instance in exchange.collected:
            if plugin.filters_body(exchange, instance):
                data = plugin.body_filter(exchange, instance, data, last=last)
        return data

    def log(self, exchange: Exchange) -> None:
        """Every logger gets its turn, whatever befell the one before it."""
        for plugin, instance in exchange.collected:
            try:
                plugin.log(exchange, instance)
            except Exception:
                traceback.print_exc(file=sys.stderr)
