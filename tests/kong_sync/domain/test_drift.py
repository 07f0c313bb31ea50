"""Drift is what stands in Kong otherwise than it was last written; all else is work not yet done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from kong_sync.domain.difference import Difference
from kong_sync.domain.drift import Drift, DriftKind, Dump, Memory, find_drifted
from kong_sync.domain.entities import MANAGED_TAG, Concern, Entity, Kind, Owner
from tests.kong_sync.factories import (
    an_api,
    an_edge,
    an_id,
    as_kong_returns,
    of_kind,
    plugin,
    wanted,
)

API = Owner(Concern.API, an_api().id)
SERVICE = of_kind(wanted(), Kind.SERVICE, "api")[0]


def dump_of(entities: Iterable[Entity], *others: tuple[Kind, dict[str, Any]]) -> Dump:
    """Kong's lists as they would hold `entities`, and what others wrote there."""
    dump: dict[Kind, list[Any]] = {kind: [] for kind in Kind}
    for entity in entities:
        dump[entity.kind].append({**as_kong_returns(entity).fields, "id": entity.id})
    for kind, fields in others:
        dump[kind].append({"tags": None, **fields})
    return dump


def remembered(entities: Iterable[Entity] = (), *, open_: Iterable[Entity] = ()) -> Memory:
    """What we wrote; the canary has a book of its own."""
    tenants = (entity for entity in entities if entity.owner.concern is not Concern.CANARY)
    return Memory({entity.key: entity for entity in tenants}, {entity.key: entity for entity in open_})


def drifted(dump: Dump, memory: Memory | None = None) -> list[Drift]:
    """The drift in a gateway to which the factories' marketplace was written, unless `memory` says otherwise."""
    return find_drifted(an_edge(), memory or remembered(wanted()), dump)


def test_what_is_as_it_was_written_is_no_drift() -> None:
    assert drifted(dump_of(wanted())) == []


def test_a_hand_edit_is_shown_field_by_field() -> None:
    edited = [replace(e, fields={**e.fields, "read_timeout": 1}) if e is SERVICE else e for e in [SERVICE]]
    (found,) = drifted(dump_of([*edited, *(e for e in wanted() if e.key != SERVICE.key)]))
    assert (found.kind, found.entity.key, found.ours) == (DriftKind.EDITED, SERVICE.key, True)
    assert found.differences == (Difference("read_timeout", wanted=60_000, found=1),)


def test_a_hand_delete_is_missing() -> None:
    limits = plugin(wanted(), "rate-limiting", "subscription")
    (found,) = drifted(dump_of(e for e in wanted() if e.key != limits.key))
    assert (found.kind, found.entity.key) == (DriftKind.MISSING, limits.key)


def test_what_was_not_written_yet_is_no_drift() -> None:
    half = [e for e in wanted() if e.owner.concern is not Concern.SUBSCRIPTION]
    assert drifted(dump_of(half), remembered(half)) == []


def test_what_is_open_may_stand_there_or_not_and_as_it_likes() -> None:
    rest = [e for e in wanted() if e.key != SERVICE.key]
    memory = remembered(rest, open_=[SERVICE])
    edited = replace(SERVICE, fields={**SERVICE.fields, "read_timeout": 1})
    for stands in ([], [SERVICE], [edited]):
        assert drifted(dump_of([*rest, *stands]), memory) == []


def test_before_the_first_write_nothing_can_have_drifted() -> None:
    assert drifted(dump_of(wanted()), remembered()) == []


def test_what_a_restored_backup_brought_back_is_a_leftover() -> None:
    kept = [e for e in wanted() if e.owner.concern is not Concern.API]
    found = drifted(dump_of(wanted()), remembered(kept))
    assert {drift.kind for drift in found} == {DriftKind.LEFTOVER}
    assert {drift.entity.owner for drift in found} == {API}


def test_the_platforms_own_entities_drift_but_for_the_canary_that_is_never_the_same_twice() -> None:
    without = dump_of(e for e in wanted() if e.owner.concern not in {Concern.PROBE, Concern.CANARY})
    assert {drift.entity.owner.concern for drift in drifted(without)} == {Concern.PROBE}
    assert (
        drifted(dump_of(wanted()), remembered(e for e in wanted() if e.owner.concern is not Concern.CANARY))
        == []
    )


def test_what_others_hang_on_ours_is_reported_too() -> None:
    others: list[tuple[Kind, dict[str, Any]]] = [
        (Kind.PLUGIN, {"id": an_id("on service"), "name": "ip-restriction", "service": {"id": SERVICE.id}}),
        (Kind.ROUTE, {"id": an_id("back door"), "name": "back-door", "service": {"id": SERVICE.id}}),
        (Kind.PLUGIN, {"id": an_id("elsewhere"), "name": "cors", "service": {"id": an_id("theirs")}}),
        (Kind.PLUGIN, {"id": an_id("global"), "name": "prometheus", "service": None}),
        (Kind.SERVICE, {"id": an_id("theirs"), "name": "theirs"}),
    ]
    found = drifted(dump_of(wanted(), *others))
    assert {(drift.kind, drift.entity.label, drift.entity.owner, drift.ours) for drift in found} == {
        (DriftKind.FOREIGN, "ip-restriction", API, False),
        (DriftKind.FOREIGN, "back-door", API, False),
    }


def test_our_tags_under_another_id_are_a_copy() -> None:
    copy = {"id": an_id("copy"), "name": "copied", "tags": [MANAGED_TAG, "ns:m", f"api:{API.id}"]}
    other = {"id": an_id("other marketplace"), "name": "other", "tags": [MANAGED_TAG, "ns:another"]}
    found = drifted(dump_of(wanted(), (Kind.SERVICE, copy), (Kind.SERVICE, other)))
    assert [(drift.kind, drift.entity.label, drift.ours) for drift in found] == [
        (DriftKind.COPY, "copied", False)
    ]
