"""Request paths: made canonical before routing, joined with the service's path after it."""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")
_RESERVED = frozenset("!*'();:@&=+$,/?%#[]")
_NOT_FOR_THE_WIRE = re.compile(r"[^!#$&'()*+,/:;=?@\[\\\]A-Za-z0-9\-_.~%]")


class BadPath(Exception):
    """The path climbs above the root or holds a broken escape."""


def normalise(path: str) -> str:
    """All but reserved characters unescaped, dot segments resolved, slashes merged."""
    if "%" in path:
        if _BROKEN_ESCAPE.search(path):
            raise BadPath
        path = _ESCAPE.sub(_unescape, path)
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


def _unescape(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16))
    return found[0].upper() if character in _RESERVED else character


def escape(path: str) -> str:
    """The path as it may stand in a request line or a header: Kong's escaping after routing."""
    return _NOT_FOR_THE_WIRE.sub(lambda found: "".join(f"%{byte:02X}" for byte in _bytes(found[0])), path)


def _bytes(character: str) -> bytes:
    return character.encode("latin-1" if character < "\u0100" else "utf-8")


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
