"""What stands in Kong at the place where an entity of ours belongs, and what taking that place over removes."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kong_sync.domain.diff import Action, Change, rank
from kong_sync.domain.difference import Difference, compare
from kong_sync.domain.edge import Edge
from kong_sync.domain.entities import MANAGED_TAG, Entity, Kind

Dump = Mapping[Kind, Sequence[Mapping[str, Any]]]
_Children = Mapping[tuple[Kind, str], Sequence[tuple[Kind, Mapping[str, Any]]]]
# What no two entities of a kind may share; where one of the values is missing, nothing is shared (but for plugins).
_UNIQUE: Mapping[Kind, tuple[tuple[str, ...], ...]] = {
    Kind.SERVICE: (("name",),),
    Kind.ROUTE: (("name",),),
    Kind.CONSUMER: (("username",), ("custom_id",)),
    Kind.CREDENTIAL: (("key",),),
    Kind.ACL: (("consumer", "group"),),
    Kind.PLUGIN: (("name", "service", "route", "consumer"),),
}
_REFERENCES = {"service": Kind.SERVICE, "route": Kind.ROUTE, "consumer": Kind.CONSUMER}


@dataclass(frozen=True, slots=True)
class Obstacle:
    """`theirs` holds a unique value that `ours` needs. `foreign` says that it belongs to another marketplace."""

    ours: Entity
    theirs: Entity
    foreign: bool

    @property
    def differences(self) -> tuple[Difference, ...]:
        """What of it changes for whoever calls, as it may be shown."""
        return compare(self.ours, self.theirs.fields)


@dataclass(frozen=True, slots=True)
class Adoption:
    """All that is in the way, and the removals that make room: what is in the way with everything that hangs on it.

    Another marketplace's entity is told and never removed, and neither is what one of its entities hangs on.
    """

    obstacles: tuple[Obstacle, ...] = ()
    removals: tuple[Change, ...] = ()

    @property
    def mark(self) -> str:
        """The same only for the very same removals and replacements, byte for byte."""
        told = [
            [[change.entity.kind, change.entity.fields] for change in self.removals],
            [[one.ours.kind, one.ours.id, one.ours.fields] for one in self.obstacles],
        ]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def whole(self) -> dict[str, list[Mapping[str, Any]]]:
        """What would be removed as Kong lists it, by kind. It may hold keys and secrets."""
        return {
            kind: [change.entity.fields for change in self.removals if change.entity.kind is kind]
            for kind in Kind
        }


def find_adoption(edge: Edge, desired: Iterable[Entity], dump: Dump) -> Adoption:
    """What in `dump`, which is all of Kong, is in the way of `desired`.

    An entity with an id of ours is in nobody's way: whatever became of it, the next pass makes it ours again.
    """
    wanted = {entity.key: entity for entity in desired}
    holders = {
        place: fields
        for kind, listed in dump.items()
        for fields in listed
        if (kind, str(fields["id"])) not in wanted
        for place in _places(kind, fields)
    }
    found: dict[tuple[Kind, str], Obstacle] = {}
    for entity in wanted.values():
        for place in _places(entity.kind, entity.fields):
            theirs = holders.get(place)
            if theirs is not None:
                entity_there = Entity(entity.kind, str(theirs["id"]), entity.owner, theirs)
                found[entity_there.key] = Obstacle(entity, entity_there, _is_anothers(edge, theirs))
    obstacles = sorted(
        found.values(), key=lambda one: (one.ours.owner.concern, one.ours.owner.id, one.ours.key)
    )
    children = _children(dump)
    removals: dict[tuple[Kind, str], Change] = {}
    for one in obstacles:
        going = [one.theirs, *_hanging_on(one.theirs, children)]
        if not any(_is_anothers(edge, entity.fields) for entity in going):
            removals |= {entity.key: Change(Action.DELETE, entity) for entity in going}
    return Adoption(tuple(obstacles), tuple(sorted(removals.values(), key=rank)))


def _places(kind: Kind, fields: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    for names in _UNIQUE[kind]:
        values = tuple(_plain(fields.get(name)) for name in names)
        if kind is Kind.PLUGIN or None not in values:
            yield kind, names, values


def _plain(value: Any) -> Any:
    return value["id"] if isinstance(value, Mapping) else value


def _children(dump: Dump) -> _Children:
    found: dict[tuple[Kind, str], list[tuple[Kind, Mapping[str, Any]]]] = defaultdict(list)
    for kind, listed in dump.items():
        for fields in listed:
            for name, parent in _REFERENCES.items():
                if fields.get(name):
                    found[parent, fields[name]["id"]].append((kind, fields))
    return found


def _hanging_on(entity: Entity, children: _Children) -> Iterator[Entity]:
    """Everything that Kong removes with it, or that has to go before it."""
    for kind, fields in children.get(entity.key, ()):
        hanging = Entity(kind, str(fields["id"]), entity.owner, fields)
        yield hanging
        yield from _hanging_on(hanging, children)


def _is_anothers(edge: Edge, fields: Mapping[str, Any]) -> bool:
    tags = set(fields.get("tags") or ())
    return MANAGED_TAG in tags and f"ns:{edge.namespace}" not in tags
