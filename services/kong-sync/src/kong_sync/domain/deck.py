"""The desired state as a decK state file (format 3.0), for those who keep, compare or restore it with decK.

Nested as decK nests: routes and plugins in their service, plugins in their route; plugins, acls and credentials in
their consumer. The tags of `_info.select_tags` stand once: decK adds them to every entity that it reads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from kong_sync.domain.edge import Edge
from kong_sync.domain.entities import Entity, Kind

FORMAT_VERSION = "3.0"
_PARENTS = ("service", "route", "consumer")
_COLLECTIONS: Mapping[Kind, tuple[tuple[Kind, str], ...]] = {
    Kind.SERVICE: ((Kind.ROUTE, "routes"), (Kind.PLUGIN, "plugins")),
    Kind.ROUTE: ((Kind.PLUGIN, "plugins"),),
    Kind.CONSUMER: (
        (Kind.PLUGIN, "plugins"),
        (Kind.ACL, "acls"),
        (Kind.CREDENTIAL, "keyauth_credentials"),
    ),
}
Children = Mapping[tuple[Kind, str], list[Entity]]


def deck_file(edge: Edge, entities: Iterable[Entity]) -> dict[str, Any]:
    """The document; the same for the same entities, whatever their order."""
    entities = sorted(entities, key=lambda entity: (entity.label, entity.id))
    children: dict[tuple[Kind, str], list[Entity]] = defaultdict(list)
    for entity in entities:
        if entity.parent:
            children[entity.parent].append(entity)
    return {
        "_format_version": FORMAT_VERSION,
        "_info": {"select_tags": list(edge.selector)},
        "services": [_nested(edge, e, children) for e in entities if e.kind is Kind.SERVICE],
        "consumers": [_nested(edge, e, children) for e in entities if e.kind is Kind.CONSUMER],
    }


def _nested(edge: Edge, entity: Entity, children: Children) -> dict[str, Any]:
    nested = {}
    for kind, name in _COLLECTIONS.get(entity.kind, ()):
        found = [
            _nested(edge, child, children) for child in children.get(entity.key, ()) if child.kind is kind
        ]
        if found:
            nested[name] = found
    return {**_fields(edge, entity), **nested}


def _fields(edge: Edge, entity: Entity) -> dict[str, Any]:
    # decK refuses a null; left out, the field has Kong's default, which is the null that we mean
    fields = {n: v for n, v in entity.fields.items() if n not in _PARENTS and v is not None}
    fields["tags"] = [tag for tag in entity.tags if tag not in edge.selector]
    return {"id": entity.id, **fields}
