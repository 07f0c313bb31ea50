"""Whether a text is Lua, asked when it is written and not when it runs."""

from __future__ import annotations

from functools import cache
from typing import Any

from lupa import luajit21


@cache
def _loader() -> Any:
    runtime = luajit21.LuaRuntime(encoding="latin-1", register_eval=False, register_builtins=False)
    return runtime.eval("function(source) local ok, problem = loadstring(source) return problem end")


def syntax_problem(source: str) -> str | None:
    """Kong's words for what does not compile, or None."""
    problem = _loader()(source.encode().decode("latin-1"))
    return None if problem is None else f"Error parsing function: {problem}"
