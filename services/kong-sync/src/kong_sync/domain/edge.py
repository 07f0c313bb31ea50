"""How our entities look in this marketplace's gateway: names, addresses, Lua, and who owns what."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from kong_sync.domain.entities import MANAGED_TAG, Entity, Kind, Owner, tag_value

# Where services lead whose every call is answered by the gateway itself.
NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True, slots=True)
class LuaSource:
    """The functions that are attached to our services, as text."""

    pre_access: str
    pre_header_filter: str
    post_access: str
    header_filter: str
    body_filter: str
    log_fields: Mapping[str, str]

    @property
    def release(self) -> str:
        """Changes with any of the functions; stands in the tags, so that a new release is an ordinary plan."""
        texts = [
            self.pre_access,
            self.pre_header_filter,
            self.post_access,
            self.header_filter,
            self.body_filter,
        ]
        texts += [f"{name}={code}" for name, code in sorted(self.log_fields.items())]
        return hashlib.sha256("\x00".join(texts).encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where the gateway's nodes share their counters."""

    host: str
    port: int
    database: int = 0


@dataclass(frozen=True, slots=True)
class Edge:
    """The settings of the desired state. `derive` turns words into an id, the same for the same words."""

    namespace: str
    ingest_url: str
    lua: LuaSource
    derive: Callable[..., object]
    file_log_path: str | None = None
    redis: RedisAddress | None = None
    log_batch_seconds: float = 0.5
    test_calls_per_day: int = 1_000
    default_calls_per_second: int = 50
    extra_tags: tuple[str, ...] = field(default=())

    def tags(self, part: str, *more: str) -> list[str]:
        """The tags that every entity of ours carries. `part` is what its id is derived from."""
        return [MANAGED_TAG, f"ns:{self.namespace}", f"part:{part}", *more]

    @property
    def selector(self) -> tuple[str, str]:
        """The tags by which Kong lists what may be ours."""
        return MANAGED_TAG, f"ns:{self.namespace}"

    def id_of(self, part: str) -> str:
        """The id of the entity that is `part` of this marketplace."""
        return str(self.derive("gateway", self.namespace, part))

    def entity(
        self, kind: Kind, part: str, owner: Owner, fields: Mapping[str, Any], *,
        tags: tuple[str, ...] = (), volatile: frozenset[str] = frozenset(),
    ) -> Entity:  # fmt: skip
        """The entity that is `part` of this marketplace, tagged as ours."""
        return Entity(
            kind, self.id_of(part), owner, {**fields, "tags": self.tags(part, *tags)}, volatile=volatile
        )

    def plugin(
        self, name: str, part: str, owner: Owner, config: Mapping[str, Any], *,
        volatile: frozenset[str] = frozenset(), **on: str,
    ) -> Entity:  # fmt: skip
        """The plugin `name` on one `service`, `route` or `consumer`."""
        where = {kind: {"id": id_} for kind, id_ in on.items()}
        fields = {"name": name, "enabled": True, "config": dict(config), **where}
        return self.entity(Kind.PLUGIN, f"{part}.{name}", owner, fields, volatile=volatile)

    def rate_limiting(self, windows: Mapping[str, int]) -> dict[str, Any]:
        """The settings of a rate-limiting plugin that allows a consumer so many calls in each of `windows`."""
        config: dict[str, Any] = {
            # every window is named: Kong keeps nothing of a limit that the plan no longer has
            **dict.fromkeys(("second", "minute", "hour", "day", "month", "year")),
            **windows,
            "limit_by": "consumer",
            "fault_tolerant": True,
            "hide_client_headers": False,
            "policy": "local",
        }
        if self.redis:
            config["policy"] = "redis"
            config["redis"] = {
                "host": self.redis.host,
                "port": self.redis.port,
                "database": self.redis.database,
            }
        return config

    def is_ours(self, kind: Kind, id_: str, tags: tuple[str, ...]) -> bool:
        """Both our tags and the very id that they imply; anything else in Kong belongs to its operator.

        A credential's id is the platform's key id, so that a log entry names the key.
        """
        if not set(self.selector) <= set(tags):
            return False
        part = tag_value(tags, "part") or ""
        if kind is Kind.CREDENTIAL and part.startswith("key."):
            return id_ == part.removeprefix("key.")
        return id_ == self.id_of(part)


def scope_in_tag(scope: str) -> str:
    """The scope as tags and groups spell it, and as the Lua reads it: Kong allows neither comma nor slash in a tag."""
    return quote(scope, safe=":")


def address(url: str) -> dict[str, Any]:
    """`url` as Kong stores it; a trailing slash means nothing. What is no address is left to Kong to refuse."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return {"protocol": "http", "host": url, "port": 80, "path": None}
    return {
        "protocol": parts.scheme,
        "host": parts.hostname,
        "port": port,
        "path": parts.path.rstrip("/") or None,
    }
