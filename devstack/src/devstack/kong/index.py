"""The gateway's working copy of routes, services and plugins, kept in step with the store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from devstack.kong.entities import ENTITIES
from devstack.kong.fields import Json
from devstack.kong.router import Router
from devstack.kong.store import Change, Store

Scope = tuple[str | None, str | None, str | None]  # route, service, consumer


@dataclass(slots=True)
class Instance:
    """One configured plugin; `cache` holds what was derived from its config and dies with it."""

    id: str
    name: str
    config: Json
    scope: Scope
    cache: dict[str, Any] = field(default_factory=dict)


class Index:
    """What the proxy works from. Only changed parts are rebuilt, and only when a request needs them."""

    def __init__(self, store: Store, *, delay_seconds: float = 0.0) -> None:
        self._store = store
        self._delay = delay_seconds
        self._routes: dict[str, Json] = {}
        self._services: dict[str, Json] = {}
        self._targets: dict[str, dict[str, Json]] = {}
        self._upstreams: dict[str, Json] = {}
        self._plugins: dict[str, dict[Scope, Instance]] = {}
        self._router: Router | None = None
        for kind in ENTITIES:
            if ENTITIES[kind].core:
                self._apply([(kind, None, entity) for entity in store.all(kind)])
        store.listeners.append(self._changed)

    @property
    def router(self) -> Router:
        if self._router is None:
            self._router = Router(self._routes.values())
        return self._router

    @property
    def plugin_names(self) -> set[str]:
        return {name for name, held in self._plugins.items() if held}

    def service(self, service_id: str) -> Json | None:
        return self._services.get(service_id)

    def targets(self, host: str) -> list[Json] | None:
        """The targets of the upstream with this name; None when it is no upstream's name."""
        upstream = self._upstreams.get(host)
        return None if upstream is None else list(self._targets.get(upstream["id"], {}).values())

    def most_specific(
        self, name: str, route: str | None, service: str | None, consumer: str | None
    ) -> Instance | None:
        """The one instance of a plugin that applies. A narrower scope wins."""
        held = self._plugins.get(name)
        if not held:
            return None
        for scope in _scopes(route, service, consumer):
            found = held.get(scope)
            if found is not None:
                return found
        return None

    def _changed(self, changes: list[Change]) -> None:
        core = [change for change in changes if ENTITIES[change[0]].core]
        if not core:
            return
        if self._delay > 0:
            asyncio.get_running_loop().call_later(self._delay, self._apply, core)
        else:
            self._apply(core)

    def _apply(self, changes: list[Change]) -> None:
        for kind, before, after in changes:
            if kind == "routes":
                self._router = None
                _replace(self._routes, before, after)
            elif kind == "services":
                _replace(self._services, before, after)
            elif kind == "upstreams":
                if before:
                    self._upstreams.pop(before["name"], None)
                if after:
                    self._upstreams[after["name"]] = after
            elif kind == "targets":
                parent = (after or before or {})["upstream"]["id"]
                _replace(self._targets.setdefault(parent, {}), before, after)
            else:
                self._apply_plugin(before, after)

    def _apply_plugin(self, before: Json | None, after: Json | None) -> None:
        if before is not None:
            held = self._plugins.get(before["name"], {})
            scope = _scope(before)
            if scope in held and held[scope].id == before["id"]:
                del held[scope]
        if after is not None and after["enabled"] and {"http", "https"}.intersection(after["protocols"]):
            config = _without_nulls(after["config"])
            instance = Instance(after["id"], after["name"], config, _scope(after))
            self._plugins.setdefault(after["name"], {})[instance.scope] = instance


def _replace(held: dict[str, Json], before: Json | None, after: Json | None) -> None:
    if before is not None:
        held.pop(before["id"], None)
    if after is not None:
        held[after["id"]] = after


def _scope(plugin: Json) -> Scope:
    route, service, consumer = ((plugin[name] or {}).get("id") for name in ("route", "service", "consumer"))
    return route, service, consumer


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _scopes(route: str | None, service: str | None, consumer: str | None) -> Iterator[Scope]:
    if consumer:
        if route and service:
            yield route, service, consumer
        if route:
            yield route, None, consumer
        if service:
            yield None, service, consumer
    if route and service:
        yield route, service, None
    if consumer:
        yield None, None, consumer
    if route:
        yield route, None, None
    if service:
        yield None, service, None
    yield None, None, None
