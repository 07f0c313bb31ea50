"""Which endpoint a call was for: a version's path templates compiled into a tree of segments."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote

_PARAMETER = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An operation of an API version; a call to it counts `weight` units."""

    endpoint_id: str
    method: str
    path: str
    weight: int


@dataclass(slots=True)
class _Node:
    literals: dict[str, _Node] = field(default_factory=dict)
    patterns: dict[str, tuple[re.Pattern[str], _Node]] = field(default_factory=dict)
    parameter: _Node | None = None
    methods: dict[str, Endpoint] = field(default_factory=dict)


class Matcher:
    """Finds the endpoint of a method and path in time proportional to the path's segments, not to the templates."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self.endpoints = tuple(endpoints)
        self._root = _Node()
        for endpoint in self.endpoints:
            node = self._root
            for segment in endpoint.path.split("/"):
                if segment:
                    node = _child(node, segment)
            node.methods.setdefault(endpoint.method.upper(), endpoint)

    def match(self, method: str, path: str) -> Endpoint | None:
        """The endpoint that `path` (relative to the version) belongs to; literal segments win over parameters."""
        return _find(self._root, segments(path), 0, method)


def segments(path: str) -> list[str]:
    """The segments as the upstream will read them: decoded, without empty ones, dots resolved.

    Otherwise a call could dodge an endpoint's weight by spelling its path differently.
    """
    if path[:1] == "/" and "%" not in path and "//" not in path and "/." not in path:  # nothing to resolve
        plain = path.strip("/")
        return plain.split("/") if plain else []
    resolved: list[str] = []
    for segment in (unquote(path) if "%" in path else path).split("/"):
        if segment == "..":
            del resolved[-1:]
        elif segment not in ("", "."):
            resolved.append(segment)
    return resolved


def relative_path(path: str, version_name: str) -> str:
    """`path` as the proxy saw it (/provider/api/version/… or /provider/api/… for the latest) without that prefix."""
    parts = path.split("/", 4)  # ['', provider, api, version, rest]
    if len(parts) > 3 and parts[3] == version_name:
        return "/" + parts[4] if len(parts) > 4 else "/"
    return "/" + "/".join(parts[3:])


def _child(node: _Node, segment: str) -> _Node:
    if _PARAMETER.fullmatch(segment):
        if node.parameter is None:
            node.parameter = _Node()
        return node.parameter
    if _PARAMETER.search(segment):  # such as {name}.json
        literal_parts = [re.escape(part) for part in _PARAMETER.split(segment)]
        known = node.patterns.setdefault(segment, (re.compile("(.+)".join(literal_parts)), _Node()))
        return known[1]
    return node.literals.setdefault(segment, _Node())


def _find(node: _Node, parts: list[str], depth: int, method: str) -> Endpoint | None:
    if depth == len(parts):
        found = node.methods.get(method)
        # A HEAD that the document does not name is answered by its GET.
        return node.methods.get("GET") if found is None and method == "HEAD" else found
    segment = parts[depth]
    literal = node.literals.get(segment)
    if literal is not None and (found := _find(literal, parts, depth + 1, method)):
        return found
    for pattern, child in node.patterns.values():
        if pattern.fullmatch(segment) and (found := _find(child, parts, depth + 1, method)):
            return found
    return _find(node.parameter, parts, depth + 1, method) if node.parameter is not None else None
