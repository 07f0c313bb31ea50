"""The plan: what to write, in which order, and nothing after it was written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kong_sync.domain.diff import Action, Change, diff
from kong_sync.domain.entities import Entity, Kind
from tests.kong_sync.factories import a_key, a_subscription, as_kong_returns, some_tables, wanted


def listed(entities: list[Entity]) -> list[Entity]:
    return [as_kong_returns(e) for e in entities]


def positions(changes: list[Change], kind: Kind, concern: str) -> list[int]:
    return [i for i, c in enumerate(changes) if c.entity.kind is kind and c.entity.owner.concern == concern]


def changed(entity: Entity, **fields: Any) -> Entity:
    return replace(entity, fields={**entity.fields, **fields})


def test_what_kong_returns_for_what_we_wrote_is_no_change() -> None:
    assert diff(wanted(), listed(wanted())) == []


def test_an_empty_gateway_gets_everything_once() -> None:
    changes = diff(wanted(), [])
    assert {c.action for c in changes} == {Action.CREATE}
    assert [c.entity.key for c in changes] == list(dict.fromkeys(c.entity.key for c in changes))
    assert len(changes) == len(wanted())


def test_parents_come_first_limits_before_access_and_routes_last() -> None:
    changes = diff(wanted(), [])
    services = positions(changes, Kind.SERVICE, "api")
    plugins = positions(changes, Kind.PLUGIN, "api")
    consumers = positions(changes, Kind.CONSUMER, "subscription")
    limits = positions(changes, Kind.PLUGIN, "subscription")
    access = positions(changes, Kind.ACL, "subscription") + positions(
        changes, Kind.CREDENTIAL, "subscription"
    )
    routes = positions(changes, Kind.ROUTE, "api")
    order = [
        max(services),
        min(plugins),
        max(plugins),
        min(consumers),
        max(consumers),
        min(limits),
        max(limits),
    ]
    assert order == sorted(order)
    assert max(limits) < min(access) <= max(access) < min(routes)
    assert max(positions(changes, Kind.ACL, "probe")) < min(services)


def test_removals_go_route_first_and_service_last() -> None:
    changes = [c for c in diff([], listed(wanted())) if c.entity.owner.concern == "api"]
    assert {c.action for c in changes} == {Action.DELETE}
    kinds = [c.entity.kind for c in changes]
    assert kinds[0] is Kind.ROUTE
    assert kinds[-1] is Kind.SERVICE


def test_removals_go_before_writes_so_that_a_name_is_free() -> None:
    old = wanted(some_tables(subscriptions=[a_subscription(id="other")], keys=[]))
    actions = [c.action for c in diff(wanted(), listed(old)) if c.entity.owner.concern == "subscription"]
    assert actions == sorted(actions, key=lambda a: a is not Action.DELETE)


def test_a_stop_is_two_writes_the_reason_first() -> None:
    stopped = wanted(some_tables(subscriptions=[a_subscription(status="past_due")]))
    changes = diff(stopped, listed(wanted()))
    assert [(c.action, c.entity.kind, c.fields) for c in changes] == [
        (Action.UPDATE, Kind.CONSUMER, ("tags",)),
        (Action.DELETE, Kind.ACL, ()),
    ]


def test_a_revoked_key_leaves_its_consumer_before_it_appears_at_the_other() -> None:
    changes = diff(wanted(some_tables(keys=[a_key(status="revoked")])), listed(wanted()))
    assert [(c.action, c.entity.kind) for c in changes] == [
        (Action.DELETE, Kind.CREDENTIAL),
        (Action.CREATE, Kind.CREDENTIAL),
    ]


@pytest.mark.parametrize(
    ("field", "value", "difference"),
    [
        ("tags", ["managed-by:kong-sync"], "tags"),
        ("retries", 9, "retries"),
        ("host", "evil.example", "host"),
        ("path", None, "path"),
    ],
)
def test_a_hand_edit_of_what_we_set_is_undone(field: str, value: Any, difference: str) -> None:
    edited = [changed(e, **{field: value}) if e.kind is Kind.SERVICE else e for e in listed(wanted())]
    assert {c.fields for c in diff(wanted(), edited)} == {(difference,)}


def test_a_hand_edit_of_what_we_do_not_set_is_left_alone() -> None:
    edited = [changed(e, ca_certificates=["x"]) if e.kind is Kind.SERVICE else e for e in listed(wanted())]
    assert diff(wanted(), edited) == []


def test_a_header_added_to_a_map_is_a_difference() -> None:
    def edit(entity: Entity) -> Entity:
        config = entity.fields.get("config", {})
        if "http_endpoint" not in config:
            return entity
        return changed(entity, config={**config, "headers": {**config["headers"], "X-Spy": "1"}})

    (change,) = diff(wanted(), [edit(e) for e in listed(wanted())])
    assert change.fields == ("config.headers",)


def test_another_generation_of_the_canary_is_no_change() -> None:
    assert diff(wanted(), [changed(e, key="old") if e.volatile else e for e in listed(wanted())]) == []


def test_a_change_reads_well() -> None:
    text = str(
        diff(wanted(some_tables(subscriptions=[a_subscription(status="paused")])), listed(wanted()))[0]
    )
    assert text.startswith("~ consumers sub_")
    assert text.endswith("(tags)")
