"""From our tables to entities."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from kong_sync.domain.diff import diff
from kong_sync.domain.edge import RedisAddress
from kong_sync.domain.entities import Entity, Kind, tag_value
from kong_sync.domain.guard import explained
from kong_sync.domain.limits import WINDOWS, Limits
from kong_sync.domain.ownership import adopt_all
from kong_sync.domain.records import Api, ApiSettings, Endpoint
from tests.kong_sync.factories import (
    NOW,
    SCOPED,
    a_key,
    a_phase,
    a_quota,
    a_subscription,
    a_version,
    an_api,
    an_edge,
    an_id,
    as_kong_returns,
    of_kind,
    plugin,
    some_tables,
    wanted,
)  # fmt: skip


def paths(entities: list[Entity]) -> dict[str, list[str]]:
    return {e.fields["name"].split(".")[0]: e.fields["paths"] for e in of_kind(entities, Kind.ROUTE, "api")}


def test_a_published_api_is_reached_by_its_version_and_without_one() -> None:
    assert paths(wanted()) == {
        "route": ["/acme/pay/v1/", "~/acme/pay/v1$"],
        "route-latest": ["/acme/pay/", "~/acme/pay$"],
    }


def test_a_dot_in_a_versions_name_matches_only_itself() -> None:
    entities = wanted(some_tables(versions=[a_version(name="v1.2")]))
    assert paths(entities)["route"] == ["/acme/pay/v1.2/", r"~/acme/pay/v1\.2$"]


def test_the_service_calls_the_versions_address_before_the_apis() -> None:
    (service,) = of_kind(wanted(), Kind.SERVICE, "api")
    assert [service.fields[f] for f in ("protocol", "host", "port", "path")] == [
        "https",
        "pay.acme.example",
        443,
        "/base",
    ]
    (own,) = of_kind(
        wanted(some_tables(versions=[a_version(base_url="http://10.0.0.1:81")])), Kind.SERVICE, "api"
    )
    assert [own.fields[f] for f in ("protocol", "host", "port", "path")] == ["http", "10.0.0.1", 81, None]


@pytest.mark.parametrize("status", ["draft", "pending_review", "rejected", "retired"])
def test_an_api_that_is_not_published_has_nothing_in_the_gateway(status: str) -> None:
    entities = wanted(some_tables(apis=[an_api(status=status)]))
    assert {e.owner.concern for e in entities} == {"probe", "canary", "platform", "subscription"}


def test_without_a_version_there_is_nothing_to_serve() -> None:
    assert of_kind(wanted(some_tables(versions=[])), Kind.SERVICE, "api") == []
    assert of_kind(wanted(some_tables(versions=[a_version(state="unheard-of")])), Kind.SERVICE, "api") == []


def service_tags(entities: list[Entity], version: str) -> set[str]:
    (service,) = [s for s in of_kind(entities, Kind.SERVICE, "api") if f".{version}." in s.fields["name"]]
    return {tag for tag in service.tags if tag.split(":")[0] in {"deprecated", "sunset", "successor"}}


def test_a_version_that_is_going_says_when_and_what_follows_it() -> None:
    going = a_version(
        is_latest=False, state="deprecated", deprecated_at=NOW, sunset_at=NOW + timedelta(days=30)
    )
    entities = wanted(some_tables(versions=[going, a_version(id=an_id("v2"), name="v2")]))
    begun = int(NOW.timestamp())
    assert service_tags(entities, "v1") == {
        f"deprecated:{begun}", f"sunset:{begun + 30 * 86_400}", "successor:v2"
    }  # fmt: skip
    assert service_tags(entities, "v2") == set()


def test_a_version_that_is_gone_keeps_its_guards_and_the_short_path_moves_on() -> None:
    gone = a_version(sunset_at=NOW, state="deprecated", deprecated_at=NOW)
    tables = some_tables(versions=[gone, a_version(id=an_id("v2"), name="v2", is_latest=False)])
    before, after = wanted(tables, now=NOW - timedelta(seconds=1)), wanted(tables)
    short = "route-latest"
    assert paths(before)[short] == paths(after)[short]
    latest = {
        r.fields["service"]["id"]
        for entities in (before, after)
        for r in of_kind(entities, Kind.ROUTE, "api")
        if short in r.fields["name"]
    }
    assert latest == {an_edge().id_of(f"service.{id_}") for id_ in (gone.id, an_id("v2"))}
    assert len(of_kind(after, Kind.PLUGIN, "api")) == len(of_kind(before, Kind.PLUGIN, "api"))


def test_without_a_date_a_version_is_gone_at_once_and_without_a_successor_it_names_none() -> None:
    entities = wanted(some_tables(versions=[a_version(state="sunset")]))
    assert service_tags(entities, "v1") == {"sunset:0"}
    assert list(paths(entities)) == ["route"]


def test_the_latest_version_answers_where_none_is_named() -> None:
    v2 = a_version(id=an_id("v2"), name="v2")
    entities = wanted(some_tables(versions=[a_version(is_latest=False), v2]))
    (latest,) = [r for r in of_kind(entities, Kind.ROUTE, "api") if "latest" in r.fields["name"]]
    assert latest.fields["service"]["id"] == an_edge().id_of(f"service.{v2.id}")


def test_the_terms_that_decide_how_a_call_counts_stand_in_the_consumers_tags() -> None:
    phase = a_phase(units_header="x-rows", units_cap=100, counted_statuses=("2xx", "404"))
    tables = some_tables(subscriptions=[a_subscription(phases=(phase,))])
    (consumer,) = of_kind(wanted(tables), Kind.CONSUMER, "subscription")
    tags = consumer.fields["tags"]
    assert [tag_value(tags, name) for name in ("units", "cap", "counts")] == ["x-rows", "100", "2xx.404"]
    (plain,) = of_kind(wanted(), Kind.CONSUMER, "subscription")
    assert [tag_value(plain.fields["tags"], name) for name in ("units", "cap", "counts")] == [None] * 3


def test_a_service_is_guarded_and_logged() -> None:
    names = {e.fields["name"] for e in of_kind(wanted(), Kind.PLUGIN, "api")}
    assert names == {"pre-function", "post-function", "key-auth", "acl", "http-log", "prometheus"}
    more = wanted(
        some_tables(apis=[an_api(cors_origins=("https://a.example",))]), edge=an_edge(file_log_path="/x")
    )
    assert {e.fields["name"] for e in of_kind(more, Kind.PLUGIN, "api")} == names | {"cors", "file-log"}


SETTINGS = ApiSettings(
    connect_ms=1_000, read_ms=2_000, write_ms=3_000, retries=0, tls_verify=True, max_body_mb=3,
    blocked_ips=("192.0.2.0/24",), set_headers=(("x-tenant", "m"),), remove_headers=("x-debug",),
)  # fmt: skip


def test_the_providers_settings_are_the_services_fields_and_plugins() -> None:
    entities = wanted(some_tables(apis=[an_api(settings=SETTINGS)]))
    (service,) = of_kind(entities, Kind.SERVICE, "api")
    fields = ("connect_timeout", "read_timeout", "write_timeout", "retries", "tls_verify")
    assert [service.fields[f] for f in fields] == [1_000, 2_000, 3_000, 0, True]
    assert plugin(entities, "request-size-limiting", "api").fields["config"]["allowed_payload_size"] == 3
    assert plugin(entities, "ip-restriction", "api").fields["config"]["deny"] == ["192.0.2.0/24"]
    assert plugin(entities, "request-transformer", "api").fields["config"] == {
        "add": {"headers": ["x-tenant:m"]},
        "replace": {"headers": ["x-tenant:m"]},
        "remove": {"headers": ["x-debug"]},
    }


def test_nothing_is_said_of_tls_where_there_is_none() -> None:
    version = a_version(base_url="http://10.0.0.1")
    tables = some_tables(apis=[an_api(settings=SETTINGS)], versions=[version])
    (service,) = of_kind(wanted(tables), Kind.SERVICE, "api")
    assert service.fields["tls_verify"] is None


@pytest.mark.parametrize(
    ("api", "tag"),
    [
        (an_api(status="suspended"), "closed:suspended"),
        (an_api(settings=ApiSettings(in_maintenance=True)), "maintenance:0"),
        (
            an_api(settings=ApiSettings(in_maintenance=True, maintenance_until=NOW)),
            f"maintenance:{int(NOW.timestamp())}",
        ),
    ],
)
def test_a_closed_api_keeps_its_guards_and_its_service_says_why(api: Api, tag: str) -> None:
    open_, closed = wanted(), wanted(some_tables(apis=[api]))
    (service,) = of_kind(closed, Kind.SERVICE, "api")
    assert tag in service.tags
    assert len(of_kind(closed, Kind.PLUGIN, "api")) == len(of_kind(open_, Kind.PLUGIN, "api"))
    assert paths(closed) == paths(open_)


def test_a_suspended_apis_service_leads_nowhere() -> None:
    (service,) = of_kind(wanted(some_tables(apis=[an_api(status="suspended")])), Kind.SERVICE, "api")
    assert (service.fields["host"], service.fields["port"]) == ("127.0.0.1", 9)


def test_the_log_is_large_and_its_secret_is_only_a_reference() -> None:
    config = plugin(wanted(), "http-log", "api").fields["config"]
    assert config["queue"] == {
        "max_batch_size": 200, "max_coalescing_delay": 0.5, "max_entries": 1_000_000, "max_bytes": 536_870_912,
        "max_retry_time": 86_400, "max_retry_delay": 10,
    }  # fmt: skip
    assert config["headers"] == {"X-Ingest-Token": "{vault://env/ingest-token}"}
    assert config["custom_fields_by_lua"] == {"request.uri": "return nil"}


def test_keys_come_from_one_header_and_go_no_further() -> None:
    config = plugin(wanted(), "key-auth", "api").fields["config"]
    assert config["key_names"] == ["x-api-key"]
    assert (config["key_in_query"], config["key_in_body"], config["hide_credentials"]) == (False, False, True)


def test_an_active_subscription_has_consumer_limits_access_and_key() -> None:
    entities = wanted()
    (consumer,) = of_kind(entities, Kind.CONSUMER, "subscription")
    assert consumer.fields["custom_id"] == a_subscription().id
    assert set(consumer.tags) >= {
        "managed-by:kong-sync", "ns:m", f"subscription:{an_id('subscription')}", f"org:{an_id('buyer')}",
        f"plan:{an_id('plan-version')}", f"api:{an_id('api')}", f"provider:{an_id('acme')}", "mode:live",
    }  # fmt: skip
    (acl,) = of_kind(entities, Kind.ACL, "subscription")
    assert acl.fields["group"] == plugin(entities, "acl", "api").fields["config"]["allow"][0]
    (credential,) = of_kind(entities, Kind.CREDENTIAL, "subscription")
    assert (credential.id, credential.fields["key"]) == (a_key().id, a_key().sha256)
    config = plugin(entities, "rate-limiting", "subscription").fields["config"]
    assert (config["minute"], config["hour"], config["policy"]) == (60, None, "local")


def test_counters_are_shared_through_redis_when_there_is_one() -> None:
    edge = an_edge(redis=RedisAddress("redis.internal", 6380, 2))
    config = plugin(wanted(edge=edge), "rate-limiting", "subscription").fields["config"]
    assert config["policy"] == "redis"
    assert config["redis"] == {"host": "redis.internal", "port": 6380, "database": 2}


def test_an_override_wins_over_the_plan() -> None:
    tables = some_tables(subscriptions=[a_subscription(limits_override=Limits(minute=600))])
    assert plugin(wanted(tables), "rate-limiting", "subscription").fields["config"]["minute"] == 600


def test_a_plan_without_limits_has_no_limiting_plugin() -> None:
    tables = some_tables(subscriptions=[a_subscription(phases=(a_phase(limits=Limits()),))])
    assert of_kind(wanted(tables), Kind.PLUGIN, "subscription") == []


@pytest.mark.parametrize(
    ("subscription", "quota", "tags"),
    [
        (a_subscription(status="past_due"), a_quota(), {"stop:past_due"}),
        (a_subscription(status="paused"), a_quota(), {"stop:paused"}),
        (a_subscription(), a_quota(state="reached"), {"stop:quota", "until:1796083200"}),
    ],
)
def test_a_stop_takes_the_group_and_tags_the_reason(
    subscription: object, quota: object, tags: set[str]
) -> None:
    entities = wanted(some_tables(subscriptions=[subscription], quotas=[quota]))  # type: ignore[list-item]
    (consumer,) = of_kind(entities, Kind.CONSUMER, "subscription")
    assert tags <= set(consumer.tags)
    assert of_kind(entities, Kind.ACL, "subscription") == []
    assert len(of_kind(entities, Kind.CREDENTIAL, "subscription")) == 1


def test_a_key_carries_its_expiry() -> None:
    tables = some_tables(keys=[a_key(status="expiring", expires_at=NOW + timedelta(hours=1))])
    (credential,) = of_kind(wanted(tables), Kind.CREDENTIAL, "subscription")
    assert tag_value(credential.tags, "exp") == str(int(NOW.timestamp()) + 3600)


@pytest.mark.parametrize("status", ["revoked", "expired"])
def test_a_dead_key_moves_to_a_consumer_that_says_why(status: str) -> None:
    entities = wanted(some_tables(keys=[a_key(status=status)]))
    (credential,) = of_kind(entities, Kind.CREDENTIAL, "subscription")
    holders = {consumer.id: consumer for consumer in of_kind(entities, Kind.CONSUMER, "platform")}
    assert f"status:{status}" in holders[credential.fields["consumer"]["id"]].tags
    forgotten = wanted(some_tables(keys=[a_key(status=status)]), now=NOW + timedelta(days=31))
    assert of_kind(forgotten, Kind.CREDENTIAL, "subscription") == []


def test_test_keys_have_one_consumer_together_with_a_small_limit() -> None:
    keys = [a_key(mode="test"), a_key(id=an_id("other"), mode="test", sha256="0" * 64)]
    entities = wanted(some_tables(keys=keys), edge=an_edge(test_calls_per_day=7))
    by_mode = {tag_value(c.tags, "mode"): c for c in of_kind(entities, Kind.CONSUMER, "subscription")}
    test = by_mode["test"]
    credentials = of_kind(entities, Kind.CREDENTIAL, "subscription")
    assert [c.fields["consumer"]["id"] for c in credentials] == [test.id, test.id]
    assert limits_by_consumer(entities)[test.id]["day"] == 7


def limits_by_consumer(entities: list[Entity]) -> dict[str, dict[str, int]]:
    limited = [
        e for e in of_kind(entities, Kind.PLUGIN, "subscription") if e.fields["name"] == "rate-limiting"
    ]
    return {
        e.fields["consumer"]["id"]: {w: e.fields["config"][w] for w in WINDOWS if e.fields["config"][w]}
        for e in limited
    }


def test_restricted_keys_take_their_shares_out_of_what_the_subscription_has() -> None:
    sold = a_subscription(phases=(a_phase(limits=Limits(minute=100, day=1_000)),))
    share = {"share_id": an_id("share"), "limits": Limits(minute=30, day=200)}
    keys = [
        a_key(),
        a_key(id=an_id("share"), sha256="1" * 64, **share),
        a_key(id=an_id("successor"), sha256="2" * 64, **share),
        a_key(
            id=an_id("second"), sha256="3" * 64, share_id=an_id("second"), limits=Limits(minute=10, day=100)
        ),
    ]
    entities = wanted(some_tables(subscriptions=[sold], keys=keys))
    credentials = of_kind(entities, Kind.CREDENTIAL, "subscription")
    holders = [c.fields["consumer"]["id"] for c in sorted(credentials, key=lambda c: c.fields["key"])]
    limits = limits_by_consumer(entities)
    assert [holders.count(holder) for holder in holders].count(2) == 2  # a key and its successor share
    assert len(set(holders)) == 3
    assert sorted(tuple(one.values()) for one in limits.values()) == [(10, 100), (30, 200), (60, 700)]
    assert len(of_kind(entities, Kind.ACL, "subscription")) == 3
    smaller = a_subscription(phases=(a_phase(limits=Limits(minute=20, day=300)),))
    cut = limits_by_consumer(wanted(some_tables(subscriptions=[smaller], keys=keys)))
    assert sum(one["minute"] for one in cut.values()) == 20
    assert all(one["minute"] >= 1 for one in cut.values())


def test_endpoints_that_ask_for_the_same_scopes_have_a_route_of_their_own() -> None:
    entities = wanted(some_tables(versions=[a_version(endpoints=SCOPED)]))
    before = {e.id: e for e in wanted()}
    assert {e.id: e for e in entities if e.id in before} == before  # all else is as it was
    more = [e for e in entities if e.id not in before]
    routes = {r.id: r for r in more if r.kind is Kind.ROUTE}
    plugins = {p.fields["route"]["id"]: p for p in more if p.kind is Kind.PLUGIN}
    assert len(more) == len(routes) + len(plugins)
    assert routes.keys() == plugins.keys()
    found = {
        (*r.fields["methods"], tuple(tag for tag in r.tags if tag.startswith("scope"))): (
            len(r.fields["paths"]), plugins[r.id].fields["config"]["allow"],
        )
        for r in routes.values()
    }  # fmt: skip
    api = an_id("api")
    unrestricted, read = f"api_{api}", f"scope_{api}_read"
    expected = {
        ("GET", "HEAD", ("scopes:1", "scope:read")): (2, [unrestricted, read]),
        ("GET", "HEAD", ("scopes:0",)): (2, [unrestricted, f"restricted_{api}"]),
        ("POST", ("scopes:2", "scope:a%2Fb%2Cc", "scope:read")): (
            2, [unrestricted, f"scope_{api}_a%2Fb%2Cc", read],
        ),
    }  # fmt: skip
    assert found == expected
    for route in routes.values():
        assert route.fields["strip_path"] is False
        assert {"prefix:v1", f"version:{an_id('v1')}", f"api:{api}"} <= set(route.tags)


def test_further_endpoints_of_a_group_change_its_route_and_no_more() -> None:
    more = [Endpoint("GET", f"/more/{n}/{{id}}", ("read",)) for n in range(100)]
    before = wanted(some_tables(versions=[a_version(endpoints=SCOPED)]))
    after = wanted(some_tables(versions=[a_version(endpoints=(*SCOPED, *more))]))
    (change,) = diff(after, [as_kong_returns(entity) for entity in before])
    assert (change.entity.kind, change.fields) == (Kind.ROUTE, ("paths",))


def test_without_a_scope_anywhere_an_api_looks_as_ever() -> None:
    open_to_all = a_version(endpoints=(Endpoint("GET", "/open", ()), Endpoint("GET", "/x", None)))
    assert wanted(some_tables(versions=[open_to_all])) == wanted()


def test_only_the_latest_versions_groups_answer_where_none_is_named() -> None:
    old = a_version(id=an_id("v0"), name="v0", is_latest=False, endpoints=SCOPED)
    new = a_version(endpoints=(Endpoint("GET", "/{a}", ()),))
    routes = [e for e in wanted(some_tables(versions=[old, new])) if "route-scopes" in e.label]
    by_version = {tag_value(e.tags, "version"): e.fields["paths"] for e in routes}
    assert all(path.startswith("~/acme/pay/v0(") for path in by_version[an_id("v0")])
    assert [path.split("(")[0] for path in by_version[an_id("v1")]] == ["~/acme/pay/v1", "~/acme/pay"]


def test_a_key_with_scopes_has_a_consumer_in_their_groups_and_as_many_calls_as_the_others() -> None:
    sold = a_subscription(phases=(a_phase(limits=Limits(minute=100, day=1_001)),))
    scopes = {"scopes": ("a/b", "read"), "share_id": an_id("scoped")}
    keys = [
        a_key(),
        a_key(id=an_id("scoped"), sha256="1" * 64, **scopes),
        a_key(id=an_id("successor"), sha256="2" * 64, **scopes),
        a_key(
            id=an_id("limited"), sha256="3" * 64, share_id=an_id("limited"), limits=Limits(minute=40, day=1)
        ),
        a_key(id=an_id("test"), sha256="4" * 64, mode="test", scopes=("read",), share_id=an_id("test")),
    ]
    entities = wanted(some_tables(subscriptions=[sold], keys=keys), edge=an_edge(test_calls_per_day=8))
    limits, api = limits_by_consumer(entities), an_id("api")
    found = {
        consumer.fields["username"].replace(sold.id, "S"): (
            sorted(
                acl.fields["group"].replace(api, "A")
                for acl in of_kind(entities, Kind.ACL, "subscription")
                if acl.fields["consumer"]["id"] == consumer.id
            ),
            [tag for tag in consumer.tags if tag.startswith(("scope", "mode"))],
            limits[consumer.id],
        )
        for consumer in of_kind(entities, Kind.CONSUMER, "subscription")
    }
    of_scopes = ["restricted_A", "scope_A_a%2Fb", "scope_A_read"]
    assert found == {
        "sub_S": (["api_A"], ["mode:live"], {"minute": 30, "day": 500}),
        f"sub_S_share_{an_id('limited')}": (["api_A"], ["mode:live"], {"minute": 1, "day": 1}),
        f"sub_S_share_{an_id('scoped')}": (
            of_scopes, ["mode:live", "scope:a%2Fb", "scope:read"], {"minute": 30, "day": 500},
        ),
        f"test_S_share_{an_id('test')}": (
            of_scopes[::2], ["mode:test", "scope:read"], {"minute": 4, "day": 4},
        ),
    }  # fmt: skip
    assert len(of_kind(entities, Kind.CREDENTIAL, "subscription")) == 5


@pytest.mark.parametrize("status", ["pending_approval", "rejected"])
def test_an_unapproved_subscription_is_unknown_to_the_gateway(status: str) -> None:
    tables = some_tables(subscriptions=[a_subscription(status=status)])
    assert {e.owner.concern for e in wanted(tables)} == {"probe", "canary", "api", "provider", "platform"}


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


@pytest.mark.parametrize("url", ["http://host:99999", "http://[::1", "nonsense"])
def test_an_address_that_is_none_is_left_to_kong_to_refuse(url: str) -> None:
    entities = wanted(some_tables(versions=[a_version(base_url=url)]))
    assert len(of_kind(entities, Kind.SERVICE, "api")) == 1
