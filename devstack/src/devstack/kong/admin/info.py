"""What the node says about itself."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from devstack.kong import VERSION
from devstack.kong.admin.errors import Refused, not_found
from devstack.kong.entities import ENTITIES
from devstack.kong.fields import Field, Json
from devstack.kong.metrics import Metrics
from devstack.kong.plugin_schemas import BUNDLED, CONFIGS, ENTITY_CHECKS, PROTOCOLS, config_field
from devstack.kong.plugins import PRIORITIES
from devstack.kong.store import Store

Resource = dict[str, Callable[[], tuple[int, Json | str | None]]]
HTTP_ONLY = {"plugins": ("http", "https", "grpc", "grpcs")}


@dataclass(slots=True)
class Info:
    """`/`, `/status`, `/metrics`, `/plugins/enabled`, `/schemas`, `/tags`, `/endpoints`, upstream health."""

    store: Store
    metrics: Metrics
    node_id: str
    ports: dict[str, int]
    connections: Callable[[], dict[str, int]]
    endpoints: Callable[[], list[str]]
    plugins_in_use: Callable[[], set[str]] = field(default=set)
    configuration_hash: Callable[[], str] | None = None  # of a node without a database

    def resource(self, words: list[str]) -> Resource | None:
        """The methods of a path that is not a collection, or None."""
        match words:
            case []:
                return {"GET": lambda: (200, self._root())}
            case ["status"]:
                return {"GET": lambda: (200, self._status())}
            case ["metrics"]:
                return {"GET": lambda: (200, self.metrics.render(self.node_id, self.connections()))}
            case ["endpoints"]:
                return {"GET": lambda: (200, {"data": sorted(self.endpoints())})}
            case ["plugins", "enabled"]:
                return {"GET": lambda: (200, {"enabled_plugins": list(BUNDLED)})}
            case ["schemas", "plugins", name] | ["plugins", "schema", name] if name != "validate":
                return {"GET": lambda: (200, _plugin_schema(name))}
            case ["schemas", name]:
                return {"GET": lambda: (200, _entity_schema(name))}
            case ["upstreams", key, "health"]:
                return {"GET": lambda: (200, self._health(key))}
        return None

    def _root(self) -> Json:
        available = {name: {"priority": PRIORITIES.get(name, 1), "version": VERSION} for name in BUNDLED}
        configuration: Json = {
            "database": "off" if self.configuration_hash else "postgres",
            "router_flavor": "traditional_compatible",
            "admin_listen": [f"127.0.0.1:{self.ports['admin']}"],
            "proxy_listen": [f"127.0.0.1:{self.ports['proxy']}"],
            "plugins": ["bundled"],
            "loaded_plugins": dict.fromkeys(BUNDLED, True),
            "db_update_frequency": 5,
            "untrusted_lua": "sandbox",
            "role": "traditional",
        }
        return {
            "version": VERSION,
            "tagline": "Welcome to kong",
            "edition": "community",
            "hostname": socket.gethostname(),
            "node_id": self.node_id,
            "lua_version": "LuaJIT 2.1.0-20231117",
            "pids": {"master": os.getpid(), "workers": [os.getpid()]},
            "plugins": {
                "available_on_server": available,
                "enabled_in_cluster": sorted(self.plugins_in_use()),
            },
            "configuration": configuration,
            "timers": {"pending": 0, "running": 0},
        }

    def _status(self) -> Json:
        connections = self.connections()
        names = ("reading", "writing", "waiting", "active", "accepted", "handled")
        server = {f"connections_{name}": connections.get(name, 0) for name in names}
        about: Json = (
            {"configuration_hash": self.configuration_hash()}
            if self.configuration_hash
            else {"database": {"reachable": True}}
        )
        return about | {
            "memory": {
                "lua_shared_dicts": {},
                "workers_lua_vms": [{"http_allocated_gc": "0.00 MiB", "pid": os.getpid()}],
            },
            "server": server | {"total_requests": connections.get("total", 0)},
        }

    def _health(self, key: str) -> Json:
        upstream = self.store.get("upstreams", key) or self.store.find("upstreams", ("name",), (key,))
        if upstream is None:
            raise not_found()
        data = []
        for target in self.store.children("targets", "upstream", upstream["id"]):
            host, _, port = target["target"].rpartition(":")
            address = {
                "ip": host,
                "port": int(port),
                "health": "HEALTHCHECKS_OFF",
                "weight": target["weight"],
            }
            inner = {"host": host, "port": int(port), "dns": "A", "nodeWeight": target["weight"]}
            weight = {"total": target["weight"], "available": target["weight"], "unavailable": 0}
            data.append(
                target
                | {"health": "HEALTHCHECKS_OFF", "data": inner | {"addresses": [address], "weight": weight}}
            )
        return {"data": data, "next": None, "node_id": self.node_id}


def _entity_schema(name: str) -> Json:
    if name not in ENTITIES:
        raise Refused(404, {"message": f"No entity named '{name}'"})
    return {"fields": [{key: _schema_of(spec)} for key, spec in ENTITIES[name].fields.items()]}


def _plugin_schema(name: str) -> Json:
    if name in BUNDLED and name not in CONFIGS:
        raise Refused(501, {"message": f"the double of Kong does not run the plugin '{name}'"})
    if name not in CONFIGS:
        raise Refused(404, {"message": f"No plugin named '{name}'"})
    protocols = sorted(PROTOCOLS.get(name, ENTITIES["plugins"].fields["protocols"].default()))
    each = {"type": "string", "one_of": protocols, "len_min": 1, "required": True}
    out: Json = {
        "fields": [
            {"protocols": {"type": "set", "required": True, "default": protocols, "elements": each}},
            {"config": _schema_of(config_field(name), name)},
        ]
    }
    return out | ({"entity_checks": ENTITY_CHECKS[name]} if name in ENTITY_CHECKS else {})


def _schema_of(spec: Field, plugin: str = "") -> Json:
    out: dict[str, Any] = {"type": spec.kind, **spec.told}
    default = spec.default() if callable(spec.default) else spec.default
    if default is not None:
        out["default"] = default
    if spec.required:
        out["required"] = True
    if spec.one_of:
        out["one_of"] = list(spec.one_of)
    for name in ("between", "gt", "len_min", "starts_with", "reference"):
        value = getattr(spec, name)
        if value is not None:
            out[name] = list(value) if isinstance(value, tuple) else value
    if spec.elements and spec.kind == "map":
        out["keys"], out["values"] = {"type": "string"}, _schema_of(spec.elements)
    elif spec.elements:
        out["elements"] = _schema_of(spec.elements)
    if spec.kind == "record":
        out["fields"] = [{name: _schema_of(inner)} for name, inner in spec.fields.items()]
        if spec.aliases:
            out["shorthand_fields"] = [
                {name: _shorthand(spec, plugin, name, path)} for name, path in spec.aliases.items()
            ]
    return out


def _shorthand(spec: Field, plugin: str, name: str, path: tuple[str, ...]) -> Json:
    """A deprecated name: the type of what replaced it, and where that is."""
    replacing = spec
    for step in path:
        replacing = replacing.fields[step]
    instead = ".".join(("config", *path))
    deprecation: Json = {
        "message": f"{plugin}: config.{name} is deprecated, please use {instead} instead",
        "removal_in_version": "4.0",
        "replaced_with": [{"path": list(path)}],
    }
    length = {} if replacing.len_min is None else {"len_min": replacing.len_min}
    return {"type": replacing.kind, **length, "deprecation": deprecation}
