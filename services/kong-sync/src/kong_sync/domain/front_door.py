"""The platform's own routes, from decK's nested format to single entities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kong_sync.domain.edge import address
from kong_sync.domain.entities import MANAGED_TAG, Concern, Entity, Kind, Owner
from kong_sync.domain.errors import FrontDoorInvalid

_OWNER = Owner(Concern.PLATFORM, "front-door")
_KNOWN = frozenset({"_format_version", "_info", "services"})


def select_tags(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The tags that every entity of the document carries, and by which it is found again."""
    tags = tuple((document.get("_info") or {}).get("select_tags") or ())
    if not tags or MANAGED_TAG in tags:
        raise FrontDoorInvalid("The document needs select tags of its own under _info.select_tags.")
    return tags


def front_door_entities(document: Mapping[str, Any]) -> list[Entity]:
    """The services of the document with their routes and plugins, each under the id that it names."""
    unknown = set(document) - _KNOWN
    if unknown:
        raise FrontDoorInvalid(
            f"The document holds {', '.join(sorted(unknown))}, which belongs to no front door."
        )
    if str(document.get("_format_version")) != "3.0":
        raise FrontDoorInvalid('The document needs _format_version: "3.0".')
    tags = select_tags(document)
    return [entity for service in document.get("services") or () for entity in _service(service, tags)]


def adopt_front_door(tags: Sequence[str], dump: Mapping[Kind, Sequence[Mapping[str, Any]]]) -> list[Entity]:
    """What of a dump belongs to the front door: all that carries its tags and not kong-sync's."""
    return [
        Entity(kind, str(fields["id"]), _OWNER, fields)
        for kind in (Kind.SERVICE, Kind.ROUTE, Kind.PLUGIN)
        for fields in dump.get(kind, ())
        if set(tags) <= set(fields.get("tags") or ()) and MANAGED_TAG not in fields["tags"]
    ]


def _service(given: Mapping[str, Any], tags: tuple[str, ...]) -> Iterator[Entity]:
    own = {name: value for name, value in given.items() if name not in {"url", "routes", "plugins"}}
    service = _entity(Kind.SERVICE, {**own, **address(str(given.get("url", "")))}, tags)
    yield service
    for kind, name in ((Kind.ROUTE, "routes"), (Kind.PLUGIN, "plugins")):
        for child in given.get(name) or ():
            yield _entity(kind, {**child, "service": {"id": service.id}}, tags)


def _entity(kind: Kind, given: Mapping[str, Any], tags: tuple[str, ...]) -> Entity:
    if "id" not in given:
        raise FrontDoorInvalid(
            f"{given.get('name', kind)} needs an id, so that every tool means the same entity."
        )
    fields = {name: value for name, value in given.items() if name != "id"}
    return Entity(kind, str(given["id"]), _OWNER, {**fields, "tags": [*fields.get("tags", ()), *tags]})
