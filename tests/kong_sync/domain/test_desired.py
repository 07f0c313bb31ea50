"""From our tables to entities, as a whole."""

from __future__ import annotations

from dataclasses import replace

from kong_sync.domain.entities import Kind
from kong_sync.domain.guard import explained
from kong_sync.domain.ownership import adopt_all
from tests.kong_sync.factories import (
    SCOPED,
    a_key,
    a_subscription,
    a_version,
    an_api,
    an_edge,
    an_id,
    as_kong_returns,
    of_kind,
    some_tables,
    wanted,
)  # fmt: skip


def test_what_no_api_answers_under_a_providers_path_is_answered_by_us() -> None:
    (route,) = of_kind(wanted(), Kind.ROUTE, "provider")
    assert route.fields["paths"] == ["/acme/"]


def test_the_entities_of_an_owner_follow_from_its_own_rows() -> None:
    other = an_api(id=an_id("other"), provider_id=an_id("b"), provider_slug="b", slug="other")
    apis, subscriptions = [an_api(), other], [a_subscription(), a_subscription(id=an_id("other sub"))]
    versions = [a_version(), a_version(id=an_id("ov"), api_id=other.id)]
    everything = wanted(some_tables(apis=apis, versions=versions, subscriptions=subscriptions))
    parts = [
        some_tables(apis=[], versions=[], subscriptions=[]),
        some_tables(apis=[an_api()], versions=[a_version()], subscriptions=[], keys=[]),
        some_tables(apis=[other], versions=[versions[1]], subscriptions=[], keys=[]),
        some_tables(apis=[], versions=[]),
        some_tables(apis=[], versions=[], subscriptions=[subscriptions[1]], keys=[]),
    ]
    of_parts = {entity.key: entity for part in parts for entity in wanted(part)}
    assert of_parts == {entity.key: entity for entity in everything}


def test_every_entity_is_recognised_as_ours_by_tags_and_id_alone() -> None:
    edge = an_edge(file_log_path="/x")
    dead = a_key(id=an_id("dead"), status="revoked")
    test = a_key(id=an_id("test"), mode="test")
    scoped = a_key(id=an_id("scoped"), scopes=("a/b", "read"))
    tables = some_tables(keys=[a_key(), dead, test, scoped], versions=[a_version(endpoints=SCOPED)])
    for entity in wanted(tables, edge=edge):
        assert edge.is_ours(entity.kind, entity.id, entity.tags), entity
        assert not edge.is_ours(entity.kind, an_id("other"), entity.tags)
        assert not replace(edge, namespace="n").is_ours(entity.kind, entity.id, entity.tags)


def test_whose_an_entity_is_is_told_by_tags_and_parents_alone() -> None:
    tables = some_tables(keys=[a_key(scopes=("a/b", "read"))], versions=[a_version(endpoints=SCOPED)])
    entities = [entity for entity in wanted(tables) if entity.owner.concern in {"api", "subscription"}]
    dump = {kind: [as_kong_returns(e).fields for e in entities if e.kind is kind] for kind in Kind}
    found = {entity.key: entity.owner for entity in adopt_all(an_edge(), dump)}
    assert found == {entity.key: entity.owner for entity in entities}
    assert all(explained(entity, tables) for entity in entities)
    assert not any(explained(e, replace(tables, versions={})) for e in entities if "-scopes" in e.tags[2])


def test_no_two_entities_share_an_id_or_a_name() -> None:
    versions = [a_version(endpoints=SCOPED), a_version(id=an_id("v2"), name="v2", endpoints=SCOPED)]
    entities = wanted(some_tables(versions=versions))
    assert len({e.key for e in entities}) == len(entities)
    for kind in (Kind.SERVICE, Kind.ROUTE):
        names = [e.fields["name"] for e in entities if e.kind is kind]
        assert len(set(names)) == len(names)


def test_the_wishes_do_not_depend_on_the_order_of_rows() -> None:
    versions = [a_version(), a_version(id=an_id("v2"), name="v2", is_latest=False)]
    assert wanted(some_tables(versions=versions)) == wanted(some_tables(versions=reversed(versions)))
