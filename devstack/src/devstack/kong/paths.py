"""Request paths: made canonical before routing, joined with the service's path after it."""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class BadPath(Exception):
    """The path climbs above the root or holds a broken escape."""


def normalise(path: str) -> str:
    """Unreserved characters unescaped, dot segments resolved, slashes merged."""
    if "%" in path:
        if _BROKEN_ESCAPE.search(path):
            raise BadPath
        path = _ESCAPE.sub(_unescape_unreserved, path)
    if "//" not in path and "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")
    for segment in segments[1:]:
        if segment == "..":
            if not kept:
                raise BadPath
            kept.pop()
        elif segment not in ("", "."):
            kept.append(segment)
    closing = "/" if kept and segments[-1] in ("", ".", "..") else ""
    return "/" + "/".join(kept) + closing


def _unescape_unreserved(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16))
    return character if character in _UNRESERVED else found[0].upper()


def join_upstream(base: str, path: str, postfix: str, *, strip: bool) -> str:
    """The path sent upstream (Kong's path handling v0). `postfix` is what follows the matched part of `path`."""
    open_end = base.endswith("/")
    if not strip:
        if open_end:
            return base + path[1:]
        return base if path == "/" else base + path
    if postfix == "":
        if base == "/":
            return "/"
        bare = base[:-1] if open_end else base
        return bare + "/" if path.endswith("/") else bare
    if open_end:
        return base[:-1] + postfix if postfix.startswith("/") else base + postfix
    return base + postfix if postfix.startswith("/") else f"{base}/{postfix}"
