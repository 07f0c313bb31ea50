"""Which of the entities in Kong are ours, and whose they are: told by their tags and ids alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kong_sync.domain.edge import Edge
from kong_sync.domain.entities import Concern, Entity, Kind, Owner, tag_value

_CANARY_PARTS = frozenset({"credential.probe", "plugin.probe.request-termination", "route.probe"})


def adopt(edge: Edge, kind: Kind, fields: Mapping[str, Any], parents: Mapping[str, Owner]) -> Entity | None:
    """The entity as ours, or None when it is not. `parents` tells whose a service, a consumer or a route is."""
    tags = tuple(fields.get("tags") or ())
    id_ = str(fields["id"])
    if not edge.is_ours(kind, id_, tags):
        return None
    return Entity(kind, id_, _owner(tags, fields, parents), fields)


def _owner(tags: tuple[str, ...], fields: Mapping[str, Any], parents: Mapping[str, Owner]) -> Owner:
    part = tag_value(tags, "part") or ""
    if part in _CANARY_PARTS:
        return Owner(Concern.CANARY)
    subscription, api = tag_value(tags, "subscription"), tag_value(tags, "api")
    if subscription:
        return Owner(Concern.SUBSCRIPTION, subscription)
    if api:
        return Owner(Concern.API, api)
    if part.startswith("route-fallback."):
        return Owner(Concern.PROVIDER, part.removeprefix("route-fallback."))
    parent = fields.get("consumer") or fields.get("service") or fields.get("route") or {}
    return parents.get(str(parent.get("id")), Owner(Concern.PLATFORM, part))


def adopt_all(edge: Edge, dump: Mapping[Kind, Sequence[Mapping[str, Any]]]) -> list[Entity]:
    """What of a dump is ours."""
    parts = [
        entity
        for kind in (Kind.SERVICE, Kind.CONSUMER, Kind.ROUTE)
        for fields in dump.get(kind, ())
        if (entity := adopt(edge, kind, fields, {})) is not None
    ]
    parents = {entity.id: entity.owner for entity in parts}
    hanging = [
        entity
        for kind in (Kind.PLUGIN, Kind.ACL, Kind.CREDENTIAL)
        for fields in dump.get(kind, ())
        if (entity := adopt(edge, kind, fields, parents)) is not None
    ]
    return parts + hanging
