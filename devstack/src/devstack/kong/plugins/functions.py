"""pre-function and post-function: Lua of the operator's own, before and after everything else."""

from __future__ import annotations

from typing import Any

from devstack.kong.exchange import Exchange
from devstack.kong.index import Instance
from devstack.kong.lua.runtime import LuaFailure
from devstack.kong.plugins.base import Node, Plugin


class Functions(Plugin):
    """Runs the functions of `config.<phase>`, compiled once for each instance."""

    def _run(self, phase: str, exchange: Exchange, instance: Instance, *arguments: Any) -> Any:
        sources = instance.config.get(phase)
        if not sources:
            return None
        compiled = instance.cache.get(phase)
        if compiled is None:
            compiled = instance.cache[phase] = self.node.lua.compile(sources, f"{instance.name}.{phase}")
        return self.node.lua.run(compiled, exchange, phase, instance.id, *arguments)

    def rewrite(self, exchange: Exchange, instance: Instance) -> None:
        self._guarded("rewrite", exchange, instance)

    async def access(self, exchange: Exchange, instance: Instance) -> None:
        self._guarded("access", exchange, instance)

    def _guarded(self, phase: str, exchange: Exchange, instance: Instance) -> None:
        try:
            self._run(phase, exchange, instance)
        except LuaFailure as failure:
            failure.report(instance.name, phase)
            exchange.error(500, "An unexpected error occurred")

    def header_filter(self, exchange: Exchange, instance: Instance) -> None:
        self._reported("header_filter", exchange, instance)

    def filters_body(self, exchange: Exchange, instance: Instance) -> bool:
        del exchange
        return bool(instance.config.get("body_filter"))

    def body_filter(self, exchange: Exchange, instance: Instance, data: bytes, *, last: bool) -> bytes:
        self.node.lua.set_chunk(exchange, data, last=last)
        self._reported("body_filter", exchange, instance)
        return self.node.lua.chunk(exchange)

    def log(self, exchange: Exchange, instance: Instance) -> None:
        self._reported("log", exchange, instance)

    def _reported(self, phase: str, exchange: Exchange, instance: Instance) -> None:
        """Too late for an error page: the failure is logged and the answer goes on."""
        try:
            self._run(phase, exchange, instance)
        except LuaFailure as failure:
            failure.report(instance.name, phase)


class PreFunction(Functions):
    name = "pre-function"


class PostFunction(Functions):
    name = "post-function"


def apply_custom_fields(node: Node, exchange: Exchange, instance: Instance) -> None:
    """The values of `custom_fields_by_lua` go into the entry; they stay there for later loggers, as in Kong."""
    expressions = instance.config.get("custom_fields_by_lua")
    if not expressions:
        return
    compiled = instance.cache.get("custom_fields")
    if compiled is None:
        compiled = {
            key: node.lua.compile([source], f"{instance.name}.{key}") for key, source in expressions.items()
        }
        instance.cache["custom_fields"] = compiled
    for key, function in compiled.items():
        try:
            value = node.lua.run(function, exchange, "log", instance.id)
        except LuaFailure as failure:
            failure.report(instance.name, f"custom_fields_by_lua.{key}")
            continue
        exchange.log_changes.append((key, node.lua.to_python(value), "set"))
