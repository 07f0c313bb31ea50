"""From what stands in Kong to what should: the plan, an ordered value to test, to log, to print and to apply."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from kong_sync.domain.canonical import differences
from kong_sync.domain.entities import Concern, Entity, Kind

_GIVING = frozenset({Kind.ACL, Kind.CREDENTIAL, Kind.ROUTE})


class Action(StrEnum):
    """What happens to an entity."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Change:
    """One write to Kong. In an update `fields` names what differs from `present`, the entity as it stands in Kong."""

    action: Action
    entity: Entity
    fields: tuple[str, ...] = ()
    present: Entity | None = None

    @property
    def gives_access(self) -> bool:
        """After it, calls may get through that did not before."""
        return self.action is not Action.DELETE and self.entity.kind in {
            Kind.ACL,
            Kind.CREDENTIAL,
            Kind.ROUTE,
        }

    @property
    def ends_access(self) -> bool:
        """After it, calls do not get through that did before."""
        return self.action is Action.DELETE and self.entity.kind in _GIVING

    @property
    def is_stop(self) -> bool:
        """It ends the calls of a consumer that goes on to stand there, or says why: in force at once."""
        kind = self.entity.kind
        return (self.action, kind) in {(Action.DELETE, Kind.ACL), (Action.UPDATE, Kind.CONSUMER)}

    @property
    def loads_slowly(self) -> bool:
        """Something that guards or limits, which the gateway's workers need up to seconds to load."""
        return self.action is not Action.DELETE and self.entity.kind in {Kind.SERVICE, Kind.PLUGIN}

    @property
    def comes_early(self) -> bool:
        """It goes before all that gives access, and needs nothing that gives access to have gone before it."""
        return rank(self)[:2] < _FIRST_ACCESS

    def __str__(self) -> str:
        sign = {Action.CREATE: "+", Action.UPDATE: "~", Action.DELETE: "-"}[self.action]
        what = f" ({', '.join(self.fields)})" if self.fields else ""
        return f"{sign} {self.entity.kind} {self.entity.label} {self.entity.id}{what}"


# A stop reaches callers first: its reason, then the end of access. Removals go before writes, children before parents,
# so that a unique name is free before somebody else takes it. Then the probe, without which nothing can be seen; then
# parents before children, limits before access, and the routes last of all. Only when no route leads to a service any
# more do its guards go, and then itself. A route's own plugin only opens it to more keys than its service's guards do.
_REMOVALS = (Kind.ROUTE, "route plugin", Kind.ACL, Kind.CREDENTIAL, "consumer plugin", Kind.CONSUMER)
_WRITES = (
    Kind.SERVICE, Kind.PLUGIN, Kind.CONSUMER, "consumer plugin", Kind.ACL, Kind.CREDENTIAL, Kind.ROUTE, "route plugin",
)  # fmt: skip
_LAST_REMOVALS = (Kind.PLUGIN, Kind.SERVICE)
_FIRST_ACCESS = (3, _WRITES.index(Kind.ACL))


def diff(desired: Iterable[Entity], actual: Iterable[Entity]) -> list[Change]:
    """The changes that turn `actual` into `desired`, in the order in which they are to be made."""
    wanted = {entity.key: entity for entity in desired}
    present = {entity.key: entity for entity in actual}
    changes = [change for key, entity in wanted.items() for change in _changes(entity, present.get(key))]
    changes += [Change(Action.DELETE, entity) for key, entity in present.items() if key not in wanted]
    return sorted(changes, key=rank)


def steps(changes: Iterable[Change]) -> list[list[Change]]:
    """`changes`, which are in order, in groups whose members do not depend on each other."""
    return [list(group) for _, group in groupby(changes, key=lambda change: rank(change)[:2])]


def _changes(wanted: Entity, present: Entity | None) -> Iterator[Change]:
    if present is None:
        yield Change(Action.CREATE, wanted)
        return
    differing = differences(wanted, present.fields)
    if not differing:
        return
    if wanted.parent != present.parent and wanted.kind in {Kind.CREDENTIAL, Kind.ACL}:
        # Kong's nested address finds it only under its old consumer
        yield Change(Action.DELETE, present)
        yield Change(Action.CREATE, wanted)
    else:
        yield Change(Action.UPDATE, wanted, differing, present)


def _level(entity: Entity) -> str:
    if entity.kind is Kind.PLUGIN and entity.fields.get("consumer"):
        return "consumer plugin"
    if entity.kind is Kind.PLUGIN and entity.fields.get("route"):
        return "route plugin"
    return entity.kind


def rank(change: Change) -> tuple[int, int, str]:
    """Where in the order a change stands; the id makes the order the same every time."""
    if change.action is Action.UPDATE and change.entity.kind is Kind.CONSUMER:
        return 0, 0, change.entity.id
    level = _level(change.entity)
    if change.action is Action.DELETE:
        if level in _LAST_REMOVALS:
            return 4, _LAST_REMOVALS.index(level), change.entity.id
        return 1, _REMOVALS.index(level), change.entity.id
    first = 2 if change.entity.owner.concern is Concern.PROBE else 3
    return first, _WRITES.index(level), change.entity.id
