"""From an API's rows to its services, plugins and routes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kong_sync.domain.diff import diff
from kong_sync.domain.edge import RedisAddress
from kong_sync.domain.entities import Entity, Kind, tag_value
from kong_sync.domain.records import Api, ApiSettings, Endpoint
from tests.kong_sync.factories import (
    NOW,
    SCOPED,
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


def test_a_service_is_guarded_and_logged() -> None:
    names = {e.fields["name"] for e in of_kind(wanted(), Kind.PLUGIN, "api")}
    assert names == {
        "pre-function", "post-function", "key-auth", "acl", "rate-limiting", "http-log", "prometheus",
    }  # fmt: skip
    more = wanted(
        some_tables(apis=[an_api(cors_origins=("https://a.example",))]), edge=an_edge(file_log_path="/x")
    )
    assert {e.fields["name"] for e in of_kind(more, Kind.PLUGIN, "api")} == names | {"cors", "file-log"}


SETTINGS = ApiSettings(
    connect_ms=1_000, read_ms=2_000, write_ms=3_000, retries=0, tls_verify=True, max_body_mb=3,
    blocked_ips=("192.0.2.0/24",), set_headers=(("x-tenant", "m"),), remove_headers=("x-debug",),
)  # fmt: skip


def test_a_services_default_limit_is_the_operators_whatever_is_subscribed() -> None:
    edge = an_edge(default_calls_per_second=7, redis=RedisAddress("redis.internal", 6380, 2))
    limiting = plugin(wanted(edge=edge), "rate-limiting", "api")
    config = limiting.fields["config"]
    assert (config["second"], config["minute"], config["limit_by"], config["policy"]) == (
        7,
        None,
        "consumer",
        "redis",
    )
    assert "consumer" not in limiting.fields
    bare = some_tables(subscriptions=[], keys=[])
    assert plugin(wanted(bare, edge=edge), "rate-limiting", "api") == limiting


def test_an_operator_may_do_without_the_default_limit() -> None:
    plan = diff(wanted(edge=an_edge(default_calls_per_second=0)), map(as_kong_returns, wanted()))
    assert [str(change).split()[:3] for change in plan] == [["-", "plugins", "rate-limiting"]]


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


@pytest.mark.parametrize("url", ["http://host:99999", "http://[::1", "nonsense"])
def test_an_address_that_is_none_is_left_to_kong_to_refuse(url: str) -> None:
    entities = wanted(some_tables(versions=[a_version(base_url=url)]))
    assert len(of_kind(entities, Kind.SERVICE, "api")) == 1
