"""Changes and drift as an operator reads them: grouped by API or subscription, old and new values side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from kong_sync.domain.adoption import Adoption
from kong_sync.domain.diff import Action, Change
from kong_sync.domain.difference import Difference, differences_of
from kong_sync.domain.drift import Drift, DriftKind
from kong_sync.domain.entities import Entity, Kind, Owner


class Tone(StrEnum):
    """What a line tells, so that the one who prints can colour it."""

    HEADING = "heading"
    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"
    WITHHELD = "withheld"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Line:
    """One line to print."""

    tone: Tone
    text: str


_OF_ACTION = {
    Action.CREATE: ("+", Tone.ADDED),
    Action.UPDATE: ("~", Tone.CHANGED),
    Action.DELETE: ("-", Tone.REMOVED),
}
_OF_DRIFT = {
    DriftKind.EDITED: ("~", Tone.CHANGED),
    DriftKind.MISSING: ("-", Tone.REMOVED),
    DriftKind.LEFTOVER: ("+", Tone.ADDED),
    DriftKind.FOREIGN: ("?", Tone.FOREIGN),
    DriftKind.COPY: ("?", Tone.FOREIGN),
}


def show_changes(changes: Sequence[Change], *, withheld: bool = False) -> Iterator[Line]:
    """Each owner once, with its changes in the order in which they are made."""
    names = _names(change.entity for change in changes)
    for owner, group in groupby(sorted(changes, key=lambda c: _place(c.entity)), lambda c: c.entity.owner):
        yield _heading(owner, names)
        for change in group:
            sign, tone = _OF_ACTION[change.action]
            tone = Tone.WITHHELD if withheld else tone
            yield Line(tone, f"  {sign} {_entity(change.entity)}{'  withheld' if withheld else ''}")
            yield from _fields(differences_of(change), tone)


def show_drift(drifted: Sequence[Drift]) -> Iterator[Line]:
    """Each owner once, with what is not as it was left."""
    names = _names(drift.entity for drift in drifted)
    for owner, group in groupby(sorted(drifted, key=lambda d: _place(d.entity)), lambda d: d.entity.owner):
        yield _heading(owner, names)
        for drift in group:
            sign, tone = _OF_DRIFT[drift.kind]
            yield Line(tone, f"  {sign} {_entity(drift.entity)}  {drift.kind}")
            yield from _fields(drift.differences, tone)


def show_adoption(adoption: Adoption) -> Iterator[Line]:
    """What is in the way of whom, and what goes with it."""
    in_the_way = {one.theirs.key for one in adoption.obstacles}
    going = {change.entity.key for change in adoption.removals}
    for owner, group in groupby(adoption.obstacles, lambda one: one.ours.owner):
        yield _heading(owner, {})
        for one in group:
            stays = one.theirs.key not in going
            tone, what = (
                (Tone.FOREIGN, "is another marketplace's") if stays else (Tone.CHANGED, "is replaced")
            )
            yield Line(tone, f"  ~ {_entity(one.theirs)}  {what}, in the way of {one.ours.id}")
            yield from _fields(one.differences, tone)
        for change in adoption.removals:
            if change.entity.owner == owner and change.entity.key not in in_the_way:
                yield Line(Tone.REMOVED, f"  - {_entity(change.entity)}  goes with it")


def _place(entity: Entity) -> tuple[str, str]:
    return entity.owner.concern, entity.owner.id


def _names(entities: Iterable[Entity]) -> dict[Owner, str]:
    """For each owner the name of a service or consumer of its, which people know better than its id."""
    return {e.owner: e.label for e in entities if e.kind in {Kind.SERVICE, Kind.CONSUMER}}


def _heading(owner: Owner, names: dict[Owner, str]) -> Line:
    name = names.get(owner)
    shown = f"{owner.concern} {owner.id}".strip()
    return Line(Tone.HEADING, f"{shown} ({name})" if name and owner.id not in name else shown)


def _entity(entity: Entity) -> str:
    label = "" if entity.label == entity.id else f" {entity.label}"
    return f"{entity.kind}{label} {entity.id}"


def _fields(differences: Iterable[Difference], tone: Tone) -> Iterator[Line]:
    return (Line(tone, f"      {difference}") for difference in differences)
