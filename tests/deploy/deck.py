"""What decK's format (3.0) allows in gateway/kong.yml, as far as the front door uses it, and nothing else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import yaml
from jsonschema import Draft202012Validator

_UUID = {"type": "string", "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"}
_NAME = {"type": "string", "pattern": "^[A-Za-z0-9._~-]+$"}
_MILLISECONDS = {"type": "integer", "minimum": 1, "maximum": 2_147_483_646}
_TAGS = {"type": "array", "items": {"type": "string", "pattern": "^[^,/]+$"}}
_PLUGIN = {
    "type": "object",
    "additionalProperties": False,
    "required": ["id", "name"],
    "properties": {
        "id": _UUID,
        "name": {"enum": ["cors", "rate-limiting", "request-size-limiting", "request-termination"]},
        "config": {"type": "object"},
        "enabled": {"type": "boolean"},
        "protocols": {"type": "array", "items": {"enum": ["http", "https"]}},
        "tags": _TAGS,
    },
}
_ROUTE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["id", "name", "paths"],
    "properties": {
        "id": _UUID,
        "name": _NAME,
        "paths": {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": "^~?/"}},
        "methods": {"type": "array", "items": {"type": "string", "pattern": "^[A-Z]+$"}},
        "hosts": {"type": "array", "items": {"type": "string"}},
        "protocols": {"type": "array", "minItems": 1, "items": {"enum": ["http", "https"]}},
        "strip_path": {"type": "boolean"},
        "preserve_host": {"type": "boolean"},
        "request_buffering": {"type": "boolean"},
        "response_buffering": {"type": "boolean"},
        "regex_priority": {"type": "integer"},
        "plugins": {"type": "array", "items": _PLUGIN},
        "tags": _TAGS,
    },
}
_SERVICE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["id", "name", "url", "routes"],
    "properties": {
        "id": _UUID,
        "name": _NAME,
        "url": {"type": "string", "pattern": r'^(https?://\S+|\$\{\{ env "DECK_[A-Z_]+" \}\}\S*)$'},
        "connect_timeout": _MILLISECONDS,
        "read_timeout": _MILLISECONDS,
        "write_timeout": _MILLISECONDS,
        "retries": {"type": "integer", "minimum": 0, "maximum": 32_767},
        "routes": {"type": "array", "minItems": 1, "items": _ROUTE},
        "plugins": {"type": "array", "items": _PLUGIN},
        "tags": _TAGS,
    },
}
# No consumers, no global plugins, no upstreams: the front door owns its services and routes, and the rest of the
# gateway is its operator's and kong-sync's.
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["_format_version", "_info", "services"],
    "properties": {
        "_format_version": {"const": "3.0"},
        "_info": {
            "type": "object",
            "additionalProperties": False,
            "required": ["select_tags"],
            "properties": {"select_tags": _TAGS | {"minItems": 1}, "defaults": {"type": "object"}},
        },
        "services": {"type": "array", "minItems": 1, "items": _SERVICE},
    },
}
_VARIABLE = re.compile(r'\$\{\{ env "([A-Z_]+)" \}\}')


def variables_of(text: str) -> set[str]:
    """The variables that decK fills in: all begin with DECK_, or decK refuses them."""
    return set(_VARIABLE.findall(re.sub(r"(?m)^#.*$", "", text)))


def findings(text: str) -> Iterator[str]:
    """Whatever is wrong with a state file."""
    state = yaml.safe_load(text)
    for error in Draft202012Validator(SCHEMA).iter_errors(state):
        yield f"{'/'.join(str(part) for part in error.absolute_path)}: {error.message}"
    yield from (
        f"{name} does not begin with DECK_" for name in variables_of(text) if not name.startswith("DECK_")
    )
    services: list[dict[str, Any]] = state.get("services", [])
    routes = [r for s in services for r in s.get("routes", [])]
    plugins = [p for holder in (*services, *routes) for p in holder.get("plugins", [])]
    for kind, values in {
        "id": [e.get("id") for e in (*services, *routes, *plugins)],
        "service name": [s.get("name") for s in services],
        "route name": [r.get("name") for r in routes],
        "path": [path for r in routes for path in r.get("paths", [])],
    }.items():
        yield from (
            f"the {kind} {value} is used twice" for value, count in Counter(values).items() if count > 1
        )
    for route in routes:
        # A path matches by prefix: without the slash, /platform/billing would take /platform/billings too.
        yield from (
            f"the path {p} ends in no slash" for p in route["paths"] if not p.startswith("~") and p[-1] != "/"
        )
