"""What is in our way: found by what no two entities may share, with all that goes when room is made."""

from __future__ import annotations

from typing import Any

from kong_sync.domain.adoption import find_adoption
from kong_sync.domain.entities import Entity, Kind
from tests.kong_sync.factories import an_edge, as_kong_returns, of_kind, wanted

Dump = dict[Kind, list[dict[str, Any]]]


def dump_of(*entities: Entity) -> Dump:
    found: Dump = {kind: [] for kind in Kind}
    for entity in entities:
        found[entity.kind].append(dict(as_kong_returns(entity).fields))
    return found


def the_consumer() -> Entity:
    return next(e for e in of_kind(wanted(), Kind.CONSUMER, "subscription"))


def test_nothing_is_in_the_way_of_what_stands_there_already() -> None:
    adoption = find_adoption(an_edge(), wanted(), dump_of(*wanted()))
    assert (adoption.obstacles, adoption.removals) == ((), ())


def test_an_entity_with_our_id_is_in_nobodys_way_whatever_its_tags_say() -> None:
    dump = dump_of(the_consumer())
    dump[Kind.CONSUMER][0]["tags"] = ["operator"]
    assert find_adoption(an_edge(), wanted(), dump).obstacles == ()


def test_a_name_a_custom_id_and_a_place_on_our_service_are_in_the_way() -> None:
    ours = the_consumer()
    acl = next(e for e in of_kind(wanted(), Kind.PLUGIN, "api") if e.fields["name"] == "acl")
    dump: Dump = {kind: [] for kind in Kind}
    dump[Kind.CONSUMER] = [
        {"id": "c1", "username": ours.fields["username"], "custom_id": None, "tags": None},
        {"id": "c2", "username": "by hand", "custom_id": ours.fields["custom_id"], "tags": ["hand"]},
        {"id": "c3", "username": "somebody else", "custom_id": None, "tags": None},
    ]
    dump[Kind.PLUGIN] = [
        {"id": "p1", "name": "acl", "service": acl.fields["service"], "route": None, "consumer": None},
        {"id": "p2", "name": "acl", "service": None, "route": None, "consumer": None},
        {"id": "p3", "name": "cors", "service": acl.fields["service"], "route": None, "consumer": None},
    ]
    adoption = find_adoption(an_edge(), wanted(), dump)
    assert {one.theirs.id for one in adoption.obstacles} == {"c1", "c2", "p1"}
    assert {change.entity.id for change in adoption.removals} == {"c1", "c2", "p1"}


def test_what_hangs_on_it_goes_first_and_its_route_before_all() -> None:
    service = next(e for e in of_kind(wanted(), Kind.SERVICE, "api"))
    dump: Dump = {kind: [] for kind in Kind}
    dump[Kind.SERVICE] = [{"id": "s", "name": service.fields["name"]}, {"id": "t", "name": "theirs"}]
    dump[Kind.ROUTE] = [{"id": "r", "service": {"id": "s"}}, {"id": "q", "service": {"id": "t"}}]
    dump[Kind.PLUGIN] = [
        {"id": "on r", "name": "cors", "service": None, "route": {"id": "r"}, "consumer": None},
        {"id": "on q", "name": "cors", "service": None, "route": {"id": "q"}, "consumer": None},
    ]
    adoption = find_adoption(an_edge(), wanted(), dump)
    assert [change.entity.id for change in adoption.removals] == ["r", "on r", "s"]


def test_another_marketplaces_entity_is_told_and_never_removed() -> None:
    ours = the_consumer()
    taken = {"id": "c", "username": ours.fields["username"], "tags": ["managed-by:kong-sync", "ns:other"]}
    adoption = find_adoption(an_edge(), wanted(), {Kind.CONSUMER: [taken]})
    ((obstacle,), removals) = adoption.obstacles, adoption.removals
    assert (obstacle.theirs.id, removals) == ("c", ())


def test_one_of_another_marketplaces_hanging_on_it_keeps_it() -> None:
    ours = the_consumer()
    dump: Dump = {kind: [] for kind in Kind}
    dump[Kind.CONSUMER] = [{"id": "c", "username": ours.fields["username"]}]
    dump[Kind.ACL] = [{"id": "a", "group": "g", "consumer": {"id": "c"}, "tags": ["managed-by:kong-sync"]}]
    assert find_adoption(an_edge(), wanted(), dump).removals == ()


def test_the_mark_changes_with_every_byte_that_would_go() -> None:
    def mark(**more: Any) -> str:
        there = {"id": "c", "username": the_consumer().fields["username"], "updated_at": 1, **more}
        return find_adoption(an_edge(), wanted(), {Kind.CONSUMER: [there]}).mark

    assert mark() == mark()
    assert len({mark(), mark(updated_at=2), mark(tags=["x"])}) == 3
