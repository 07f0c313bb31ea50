"""What stands in Kong, as values: only the fields that we set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

MANAGED_TAG = "managed-by:kong-sync"


class Kind(StrEnum):
    """Kong's collections, by the name that lists them."""

    SERVICE = "services"
    ROUTE = "routes"
    PLUGIN = "plugins"
    CONSUMER = "consumers"
    ACL = "acls"
    CREDENTIAL = "key-auths"


class Concern(StrEnum):
    """What an entity is there for."""

    API = "api"
    PROVIDER = "provider"
    SUBSCRIPTION = "subscription"
    PLATFORM = "platform"
    PROBE = "probe"
    CANARY = "canary"


@dataclass(frozen=True, slots=True)
class Owner:
    """The one that an entity stands there for: what is brought to Kong together, and fails alone."""

    concern: Concern
    id: str = ""


@dataclass(frozen=True, slots=True)
class Entity:
    """One object in Kong. `fields` holds what we set, its tags included; `volatile` fields are never compared."""

    kind: Kind
    id: str
    owner: Owner
    fields: Mapping[str, Any]
    volatile: frozenset[str] = frozenset()

    @property
    def key(self) -> tuple[Kind, str]:
        """What identifies it in Kong."""
        return self.kind, self.id

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags, in Kong's order."""
        return tuple(self.fields.get("tags") or ())

    @property
    def parent(self) -> tuple[Kind, str] | None:
        """The entity that this one hangs on, None for a root."""
        for field, kind in (("service", Kind.SERVICE), ("route", Kind.ROUTE), ("consumer", Kind.CONSUMER)):
            reference = self.fields.get(field)
            if reference:
                return kind, str(reference["id"])
        return None

    @property
    def label(self) -> str:
        """A name that a person recognises."""
        return str(
            self.fields.get("username") or self.fields.get("name") or self.fields.get("group") or self.id
        )


def tag_value(tags: Iterable[str], name: str) -> str | None:
    """What follows `name:` in the first tag of that name."""
    return next((tag[len(name) + 1 :] for tag in tags if tag.startswith(f"{name}:")), None)


def fingerprint(entities: Iterable[Entity]) -> str:
    """The same for the same wishes, whatever their order; volatile fields do not count."""
    parts = sorted(
        json.dumps(
            [e.kind, e.id, {k: v for k, v in e.fields.items() if k not in e.volatile}],
            sort_keys=True,
            separators=(",", ":"),
        )
        for e in entities
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
