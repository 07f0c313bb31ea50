"""The Lua that is attached to our services, read from `gateway/lua`."""

from __future__ import annotations

import json
from pathlib import Path

from kong_sync.domain.edge import LuaSource


def read_lua(folder: Path, *, problem_base: str, portal_url: str) -> LuaSource:
    """The functions with this marketplace's addresses filled in; FileNotFoundError when one is missing."""

    def text(name: str) -> str:
        source = (folder / f"{name}.lua").read_text(encoding="utf-8")
        return source.replace("@PROBLEM_BASE@", problem_base).replace("@PORTAL_URL@", portal_url)

    return LuaSource(
        pre_access=text("pre_access"),
        pre_header_filter=text("pre_header_filter"),
        post_access=text("post_access"),
        header_filter=text("header_filter"),
        body_filter=text("body_filter"),
        log_fields=json.loads((folder / "log_fields.json").read_text(encoding="utf-8")),
    )
