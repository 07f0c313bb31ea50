"""Drift: what stands in Kong otherwise than we last wrote it there.

A hand edit, a hand delete, a restored backup. What differs because the wish is new is no drift but work not yet done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kong_sync.domain.difference import Difference, compare
from kong_sync.domain.edge import Edge
from kong_sync.domain.entities import Concern, Entity, Kind, Owner
from kong_sync.domain.ownership import adopt_all

Key = tuple[Kind, str]
Dump = Mapping[Kind, Sequence[Mapping[str, Any]]]
_REFERENCES = ("service", "route", "consumer")
_HANGING = (Kind.ROUTE, Kind.PLUGIN, Kind.ACL, Kind.CREDENTIAL)


class DriftKind(StrEnum):
    """What became of an entity behind our back. The last two are reported and never touched."""

    EDITED = "edited"
    MISSING = "missing"
    LEFTOVER = "leftover"
    FOREIGN = "foreign"
    COPY = "copy"


@dataclass(frozen=True, slots=True)
class Drift:
    """One entity that is not as we left it. `differences` are those of an edited one."""

    kind: DriftKind
    entity: Entity
    differences: tuple[Difference, ...] = ()

    @property
    def ours(self) -> bool:
        """The next full pass mends it."""
        return self.kind not in {DriftKind.FOREIGN, DriftKind.COPY}


@dataclass(frozen=True, slots=True)
class Memory:
    """What we wrote. Kong said yes to what is `sure`; how that stands there which is `open` nobody knows."""

    sure: Mapping[Key, Entity]
    open: Mapping[Key, Entity]

    @property
    def all(self) -> dict[Key, Entity]:
        """Both."""
        return {**self.sure, **self.open}


def find_drifted(edge: Edge, memory: Memory, dump: Dump) -> list[Drift]:
    """All drift in `dump`, by owner and kind."""
    ours = {entity.key: entity for entity in adopt_all(edge, dump)}
    found = (drift_of(memory, key, ours.get(key)) for key in {**memory.sure, **ours})
    drifted = [*(drift for drift in found if drift), *_not_ours(edge, ours, dump)]
    return sorted(drifted, key=_order)


def drift_of(memory: Memory, key: Key, present: Entity | None) -> Drift | None:
    """What became behind our back of one entity of ours, which stands in Kong as `present` or not at all.

    Before anything was written nothing can have drifted, and the canary is never the same twice.
    """
    written = memory.sure.get(key)
    if written is None:
        expected = key in memory.open or not (memory.sure or memory.open)
        if present is None or expected or present.owner.concern is Concern.CANARY:
            return None
        return Drift(DriftKind.LEFTOVER, present)
    if present is None:
        return Drift(DriftKind.MISSING, written)
    differing = compare(written, present.fields)
    return Drift(DriftKind.EDITED, written, differing) if differing else None


def _not_ours(edge: Edge, ours: Mapping[Key, Entity], dump: Dump) -> Iterator[Drift]:
    owners = {entity.id: entity.owner for entity in ours.values()}
    for kind, listed in dump.items():
        for fields in listed:
            id_, tags = str(fields["id"]), tuple(fields.get("tags") or ())
            if (kind, id_) in ours:
                continue
            parents = [str(fields[name]["id"]) for name in _REFERENCES if fields.get(name)]
            owner = next((owners[parent] for parent in parents if parent in owners), None)
            if edge.selector[0] in tags and edge.selector[1] in tags:
                yield Drift(DriftKind.COPY, Entity(kind, id_, owner or Owner(Concern.PLATFORM), fields))
            elif owner is not None and kind in _HANGING:
                yield Drift(DriftKind.FOREIGN, Entity(kind, id_, owner, fields))


def _order(drift: Drift) -> tuple[str, str, str, str]:
    entity = drift.entity
    return entity.owner.concern, entity.owner.id, entity.kind, entity.id
