"""Which route a request takes: Kong's traditional-compatible order."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from devstack.kong.fields import Json
from devstack.kong.headers import Headers


@dataclass(frozen=True, slots=True)
class Match:
    route: Json
    prefix: str  # the part of the path that the route matched; empty when it matches without paths
    captures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Rule:
    """One route with one of its paths: Kong ranks a route by each of its paths on its own."""

    rank: tuple[float, ...]
    route: Json
    path: str | None
    regex: re.Pattern[str] | None
    methods: frozenset[str] | None
    hosts: tuple[re.Pattern[str], ...] | None
    headers: tuple[tuple[str, tuple[str, ...]], ...]

    def match(self, method: str, host: str, path: str, headers: Headers) -> Match | None:
        if self.methods is not None and method not in self.methods:
            return None
        prefix, captures = "", {}
        if self.regex is not None:
            found = self.regex.match(path)
            if found is None:
                return None
            prefix = found[0]
            captures = {name: value for name, value in found.groupdict().items() if value is not None}
        elif self.path is not None:
            if not path.startswith(self.path):
                return None
            prefix = self.path
        if self.hosts is not None and not any(pattern.fullmatch(host) for pattern in self.hosts):
            return None
        for name, values in self.headers:
            if not any(_header_matches(sent, values) for sent in headers.get_all(name)):
                return None
        return Match(self.route, prefix, captures)


class Router:
    """All routes in the order in which they are tried."""

    def __init__(self, routes: Iterable[Json]) -> None:
        rules = sorted((rule for route in routes for rule in _rules(route)), key=lambda rule: rule.rank)
        self._open: list[_Rule] = []  # rules whose first path segment is not fixed
        self._by_segment: dict[str, list[_Rule]] = {}
        for rule in rules:
            segment = _first_segment(rule)
            if segment is None:
                self._open.append(rule)
            else:
                self._by_segment.setdefault(segment, []).append(rule)
        for held in self._by_segment.values():
            held.extend(self._open)
            held.sort(key=lambda rule: rule.rank)

    def match(self, method: str, host: str, path: str, headers: Headers) -> Match | None:
        """The first route in rank that fits; `host` without port, lower case; `path` normalised."""
        segment = path.split("/", 2)[1] if path.startswith("/") else ""
        for rule in self._by_segment.get(segment, self._open):
            found = rule.match(method, host, path, headers)
            if found is not None:
                return found
        return None


def _rules(route: Json) -> Iterable[_Rule]:
    methods = frozenset(route["methods"]) if route.get("methods") else None
    hosts = tuple(_host_pattern(host) for host in route["hosts"]) if route.get("hosts") else None
    headers = tuple((name, tuple(values)) for name, values in (route.get("headers") or {}).items())
    plain_hosts = bool(route.get("hosts")) and not any("*" in host for host in route["hosts"])
    for path in route.get("paths") or [None]:
        regex = re.compile(path[1:]) if path and path.startswith("~") else None
        categories = sum(value is not None for value in (methods, hosts, path)) + bool(headers)
        rank = (
            -categories,
            -plain_hosts,
            -min(len(headers), 255),
            -(regex is not None),
            -(route["regex_priority"] or 0) if regex else 0,
            0 if regex else -len(path or ""),
            route["created_at"],
        )
        yield _Rule(rank, route, None if regex else path, regex, methods, hosts, headers)


def _host_pattern(host: str) -> re.Pattern[str]:
    bare = re.sub(r":\d+$", "", host.lower())
    return re.compile(re.escape(bare).replace(r"\*", ".+"))


def _header_matches(sent: str, values: tuple[str, ...]) -> bool:
    if len(values) == 1 and values[0].startswith("~*"):
        return re.search(values[0][2:].lower(), sent.lower()) is not None
    return sent.lower() in (value.lower() for value in values)


def _first_segment(rule: _Rule) -> str | None:
    """The whole first segment that every match of this rule has, where it can be told."""
    literal = rule.path
    if rule.regex is not None:
        literal = re.match(r"[\w/\-]*", rule.regex.pattern)[0]  # type: ignore[index]
        rest = rule.regex.pattern[len(literal) :]
        if rest[:1] in ("?", "*", "{", "+"):
            literal = literal[:-1]
        if "|" in rule.regex.pattern:
            return None
    parts = (literal or "").split("/", 2)
    return parts[1] if len(parts) == 3 and parts[0] == "" and parts[1] else None
