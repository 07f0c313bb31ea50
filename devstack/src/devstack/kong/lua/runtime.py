"""One LuaJIT for the gateway. Runs to the end or to an exit; nothing in it waits."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from lupa import luajit21

from devstack.kong.exchange import Exchange
from devstack.kong.vault import Vault

_BOOTSTRAP = Path(__file__).with_name("bootstrap.lua")


class LuaFailure(Exception):
    """The operator's code does not compile, or raised an error."""

    def report(self, plugin: str, phase: str) -> None:
        print(f"{plugin}: {phase} failed: {self}", file=sys.stderr, flush=True)


class _Null:
    """The host's side of ngx.null."""


class LuaHost:
    """Compiles and runs Lua, with Kong's PDK bound to the request at hand."""

    def __init__(self, vault: Vault, *, requires: frozenset[str], node_id: str = "") -> None:
        from devstack.kong.lua.pdk import Pdk

        self._lua = luajit21.LuaRuntime(
            encoding="latin-1",  # one byte, one character: binary strings pass both ways unharmed
            source_encoding="utf-8",
            unpack_returned_tuples=True,
            register_eval=False,
            register_builtins=False,
            attribute_filter=_deny,
        )
        self._null = self._lua.eval("newproxy(true)")
        self.pdk = Pdk(self, vault, node_id)
        start = self._lua.eval("function(source) return loadstring(source, '=bootstrap') end")
        bootstrap = start(_BOOTSTRAP.read_text(encoding="utf-8"))
        functions = self._lua.table_from(self.pdk.functions())
        allowed = self._lua.table_from(dict.fromkeys(requires, True))
        self._compile, self._run = bootstrap(functions, allowed, self._null)

    def compile(self, sources: list[str], name: str) -> Any:
        """Something for `run`. Never raises: what does not compile fails when it runs, as on Kong."""
        texts = self._lua.table_from([source.encode().decode("latin-1") for source in sources])
        result = self._compile(texts, name)
        if isinstance(result, tuple):
            return LuaFailure(str(result[1]))
        return result

    def run(self, compiled: Any, exchange: Exchange, phase: str, instance_id: str) -> Any:
        """The value that the code returned. Raises LuaFailure."""
        if isinstance(compiled, LuaFailure):
            raise compiled
        self.pdk.enter(exchange, phase, instance_id)
        try:
            result = self._run(compiled)
        except luajit21.LuaError as error:
            raise LuaFailure(str(error)) from error
        finally:
            self.pdk.leave()
        ok, value = result if isinstance(result, tuple) else (result, None)
        if not ok:
            raise LuaFailure(str(value))
        return value

    def set_chunk(self, exchange: Exchange, data: bytes, *, last: bool) -> None:
        """What `ngx.arg` holds in the coming body_filter."""
        exchange.lua["arg1"], exchange.lua["arg2"] = data.decode("latin-1"), last
        exchange.lua["body"] = exchange.lua.get("body", "") + exchange.lua["arg1"]

    def chunk(self, exchange: Exchange) -> bytes:
        """What `ngx.arg[1]` holds after the body_filter."""
        return str(exchange.lua.get("arg1") or "").encode("latin-1", "replace")

    def new_table(self) -> Any:
        return self._lua.table()

    def to_lua(self, value: Any) -> Any:
        """Python data as Lua data; nulls inside are left out, as Kong's runtime does with entities."""
        if isinstance(value, str):
            return value if value.isascii() else value.encode().decode("latin-1")
        if isinstance(value, dict):
            entries = {self.to_lua(key): self.to_lua(item) for key, item in value.items() if item is not None}
            return self._lua.table_from(entries)
        if isinstance(value, list | tuple):
            return self._lua.table_from([self.to_lua(item) for item in value if item is not None])
        return value

    def to_python(self, value: Any) -> Any:
        """Lua data as Python data: tables as JSON would have them, texts as UTF-8 where they are."""
        if isinstance(value, str):
            return value if value.isascii() else value.encode("latin-1").decode("utf-8", "replace")
        kind = luajit21.lua_type(value)
        if kind is None:
            return value
        if kind != "table":
            return None
        keys = list(value.keys())
        if (
            keys
            and all(isinstance(key, int) for key in keys)
            and sorted(keys) == list(range(1, len(keys) + 1))
        ):
            return [self.to_python(value[index]) for index in range(1, len(keys) + 1)]
        return {str(self.to_python(key)): self.to_python(value[key]) for key in keys}

    def decode_json(self, value: Any) -> Any:
        """Parsed JSON as Lua data; null is ngx.null, as cjson has it."""
        if value is None:
            return self._null
        if isinstance(value, dict):
            return self._lua.table_from(
                {self.to_lua(key): self.decode_json(item) for key, item in value.items()}
            )
        if isinstance(value, list):
            return self._lua.table_from([self.decode_json(item) for item in value])
        return self.to_lua(value)

    def encode_json(self, value: Any) -> str:
        """JSON of Lua data, as Lua text."""
        raw = json.dumps(self.to_python(value), ensure_ascii=False, separators=(",", ":"))
        return raw.encode().decode("latin-1")


def _deny(*_: object) -> str:
    raise AttributeError("host objects are closed to Lua")
