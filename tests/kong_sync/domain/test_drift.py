"""Drift is what differs although the wish is as old as what was written; all else is work not yet done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from kong_sync.domain.difference import Difference
from kong_sync.domain.drift import Drift, DriftKind, Dump, find_drifted, settled_owners
from kong_sync.domain.entities import MANAGED_TAG, Concern, Entity, Kind, Owner
from kong_sync.domain.progress import Progress, State, Wish, wishes
from kong_sync.domain.records import Tables
from tests.kong_sync.factories import (
    an_api,
    an_edge,
    an_id,
    as_kong_returns,
    of_kind,
    plugin,
    some_tables,
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


def wishes_of(tables: Tables) -> dict[Owner, Wish]:
    return wishes(tables, wanted(tables), public_proxy_url="http://proxy")


def told(wishes: dict[Owner, Wish], state: State = State.LIVE) -> dict[Owner, Progress]:
    return {owner: Progress(state, None, wish.fingerprint) for owner, wish in wishes.items()}


def drifted(dump: Dump, *, tables: Tables | None = None, platform_settled: bool = True) -> list[Drift]:
    """The drift in a gateway to which the factories' marketplace was written, while `tables` is wanted now."""
    written, now = wishes_of(some_tables()), wishes_of(tables or some_tables())
    return find_drifted(
        an_edge(), wanted(tables), dump, settled=settled_owners(now, told(written)), known=now,
        platform_settled=platform_settled,
    )  # fmt: skip


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


def test_a_new_wish_is_no_drift() -> None:
    moved = some_tables(apis=[an_api(base_url="https://elsewhere.example")])
    assert drifted(dump_of(wanted()), tables=moved) == []
    not_yet = dump_of(wanted(some_tables(apis=[], versions=[])))
    assert drifted(not_yet, tables=moved, platform_settled=False) == []


def test_what_a_restored_backup_brought_back_is_a_leftover() -> None:
    retired = some_tables(apis=[an_api(status="retired")])
    nothing = wishes_of(retired)
    found = find_drifted(
        an_edge(), wanted(retired), dump_of(wanted()), platform_settled=False, known=nothing,
        settled=settled_owners(nothing, told(nothing, State.NOT_PROVISIONED)),
    )  # fmt: skip
    assert {drift.kind for drift in found} == {DriftKind.LEFTOVER}
    assert {drift.entity.owner for drift in found} == {API}


def test_an_entity_of_ours_for_nobody_we_know_is_a_leftover() -> None:
    tables = some_tables(subscriptions=[], keys=[])
    found = drifted(dump_of(wanted()), tables=tables, platform_settled=False)
    assert {(drift.kind, drift.entity.owner.concern) for drift in found} == {
        (DriftKind.LEFTOVER, Concern.SUBSCRIPTION)
    }


@pytest.mark.parametrize(
    ("state", "fingerprint", "wanted_at_all", "settled"),
    [
        (State.LIVE, "a", True, True),
        (State.APPLIED, "a", True, True),
        (State.NOT_PROVISIONED, "a", False, True),
        (State.LIVE, "b", True, False),
        (State.PENDING, "a", True, False),
        (State.FAILED, "a", True, False),
        (State.NOT_PROVISIONED, "a", True, False),  # the gateway was switched off
    ],
)
def test_only_what_was_told_as_written_can_drift(
    state: State, fingerprint: str, wanted_at_all: bool, settled: bool
) -> None:
    wish = Wish("a", wanted_at_all, an_id("acme"))
    found = settled_owners({API: wish}, {API: Progress(state, None, fingerprint)})
    assert found == ({API} if settled else set())
    assert settled_owners({API: wish}, {}) == set()


def test_the_platforms_own_entities_drift_once_all_was_written() -> None:
    without = dump_of(e for e in wanted() if e.owner.concern not in {Concern.PROBE, Concern.CANARY})
    assert drifted(without, platform_settled=False) == []
    assert {drift.entity.owner.concern for drift in drifted(without)} == {Concern.PROBE, Concern.CANARY}


def test_what_others_hang_on_ours_is_reported_whatever_our_wishes_are() -> None:
    others: list[tuple[Kind, dict[str, Any]]] = [
        (Kind.PLUGIN, {"id": an_id("on service"), "name": "ip-restriction", "service": {"id": SERVICE.id}}),
        (Kind.ROUTE, {"id": an_id("back door"), "name": "back-door", "service": {"id": SERVICE.id}}),
        (Kind.PLUGIN, {"id": an_id("elsewhere"), "name": "cors", "service": {"id": an_id("theirs")}}),
        (Kind.PLUGIN, {"id": an_id("global"), "name": "prometheus", "service": None}),
        (Kind.SERVICE, {"id": an_id("theirs"), "name": "theirs"}),
    ]
    found = drifted(dump_of(wanted(), *others), platform_settled=False)
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
