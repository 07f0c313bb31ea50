"""Drift: what differs in Kong although nothing that we want has changed since it was written there.

A hand edit, a hand delete, a restored backup. What differs because the wish is new is no drift but work not yet done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kong_sync.domain.difference import Difference, compare
from kong_sync.domain.edge import Edge
from kong_sync.domain.entities import Concern, Entity, Kind, Owner
from kong_sync.domain.ownership import adopt_all
from kong_sync.domain.progress import Progress, State, Wish

Dump = Mapping[Kind, Sequence[Mapping[str, Any]]]
_REFERENCES = ("service", "route", "consumer")
_HANGING = (Kind.ROUTE, Kind.PLUGIN, Kind.ACL, Kind.CREDENTIAL)
_WRITTEN = frozenset({State.APPLIED, State.LIVE})


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


def settled_owners(wishes: Mapping[Owner, Wish], told: Mapping[Owner, Progress]) -> frozenset[Owner]:
    """The owners whose present wish was told as written, or told as nothing to write."""
    return frozenset(owner for owner, wish in wishes.items() if _is_settled(wish, told.get(owner)))


def find_drifted(
    edge: Edge, desired: Iterable[Entity], dump: Dump, *, settled: frozenset[Owner], platform_settled: bool,
    known: Iterable[Owner],
) -> list[Drift]:  # fmt: skip
    """All drift in `dump`, by owner and kind.

    `known` are the owners that our tables hold: an entity of ours for anybody else is a leftover. The platform's own
    entities have no progress of their own; `platform_settled` says whether they were all written.
    """
    wanted = {entity.key: entity for entity in desired}
    ours = {entity.key: entity for entity in adopt_all(edge, dump)}
    tenants = frozenset(known)

    def is_settled(owner: Owner) -> bool:
        if owner.concern in {Concern.API, Concern.SUBSCRIPTION}:
            return owner in settled or owner not in tenants
        return platform_settled

    found = [
        *_edited_or_missing(wanted, ours),
        *(Drift(DriftKind.LEFTOVER, entity) for key, entity in ours.items() if key not in wanted),
    ]
    drifted = [drift for drift in found if is_settled(drift.entity.owner)]
    drifted += _not_ours(edge, ours, dump)
    return sorted(drifted, key=_order)


def _is_settled(wish: Wish, told: Progress | None) -> bool:
    if told is None or told.fingerprint != wish.fingerprint:
        return False
    return told.state in _WRITTEN or (told.state is State.NOT_PROVISIONED and not wish.wanted)


def _edited_or_missing(
    wanted: Mapping[tuple[Kind, str], Entity], ours: Mapping[tuple[Kind, str], Entity]
) -> Iterator[Drift]:
    for key, entity in wanted.items():
        present = ours.get(key)
        if present is None:
            yield Drift(DriftKind.MISSING, entity)
        elif differing := compare(entity, present.fields):
            yield Drift(DriftKind.EDITED, entity, differing)


def _not_ours(edge: Edge, ours: Mapping[tuple[Kind, str], Entity], dump: Dump) -> Iterator[Drift]:
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
