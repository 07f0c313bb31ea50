"""Laws of the plan, for any tables: it leads to what is wanted, in an order that Kong accepts at every step."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from kong_sync.domain.diff import Action, diff
from kong_sync.domain.entities import Entity, Kind
from kong_sync.domain.limits import Limits
from kong_sync.domain.records import ApiSettings, Endpoint, Tables
from tests.kong_sync.factories import (
    NOW,
    a_key,
    a_phase,
    a_quota,
    a_subscription,
    a_version,
    an_api,
    an_id,
    as_kong_returns,
    some_tables,
    wanted,
)  # fmt: skip

NAMES = st.sampled_from(["a", "b", "c"])
SETTINGS = [
    ApiSettings(),
    ApiSettings(max_body_mb=1, blocked_ips=("192.0.2.1", "192.0.2.9"), retries=0),
    ApiSettings(set_headers=(("x-a", "1"),), tls_verify=True, in_maintenance=True),
]

ENDPOINTS: list[tuple[Endpoint, ...]] = [
    (),
    (Endpoint("GET", "/a", ("read",)), Endpoint("POST", "/a", ("read", "write"))),
    (Endpoint("GET", "/{a}", ("read",)), Endpoint("GET", "/a", ()), Endpoint("GET", "/b", None)),
]


@st.composite
def tables(draw: st.DrawFn) -> Tables:
    """Any state of a few APIs, versions, subscriptions, keys and quotas."""
    apis = [
        an_api(
            id=an_id(f"api {name}"),
            slug=draw(NAMES) + name,
            status=draw(st.sampled_from(["published", "suspended", "retired"])),
            settings=draw(st.sampled_from(SETTINGS)),
        )
        for name in draw(st.sets(NAMES))
    ]
    versions = [
        a_version(
            id=an_id(f"version {name}"),
            api_id=an_id(f"api {draw(st.sampled_from('ab'))}"),
            name=f"v{name}",
            is_latest=draw(st.booleans()),
            state=draw(st.sampled_from(["active", "deprecated", "sunset", "unheard-of"])),
            sunset_at=draw(st.sampled_from([None, NOW, NOW + timedelta(seconds=1)])),
            endpoints=draw(st.sampled_from(ENDPOINTS)),
        )
        for name in draw(st.sets(NAMES))
    ]
    statuses = st.sampled_from(["active", "paused", "past_due", "canceled", "rejected"])
    subscriptions = [
        a_subscription(
            id=an_id(f"subscription {name}"), api_id=an_id(f"api {draw(NAMES)}"), status=draw(statuses),
            phases=(a_phase(limits=Limits(minute=draw(st.none() | st.integers(1, 9)))),),
        )
        for name in draw(st.sets(NAMES))
    ]  # fmt: skip
    keys = [
        a_key(
            id=an_id(f"key {name}"), sha256=name * 64, subscription_id=an_id(f"subscription {draw(NAMES)}"),
            status=draw(st.sampled_from(["active", "revoked", "expired"])),
            mode=draw(st.sampled_from(["live", "test"])),
            scopes=draw(st.sampled_from([(), ("read",), ("read", "write")])),
        )
        for name in draw(st.sets(NAMES))
    ]  # fmt: skip
    reached = draw(st.sets(NAMES))
    quotas = [a_quota(subscription_id=an_id(f"subscription {n}"), state="reached") for n in reached]
    return some_tables(apis=apis, versions=versions, subscriptions=subscriptions, keys=keys, quotas=quotas)


def unique(entity: Entity) -> str | None:
    """What Kong allows only once."""
    name = {Kind.CONSUMER: "username", Kind.CREDENTIAL: "key", Kind.SERVICE: "name", Kind.ROUTE: "name"}.get(
        entity.kind
    )
    return f"{entity.kind} {entity.fields[name]}" if name else None


def unguarded(entities: Iterable[Entity]) -> list[str]:
    """Services of APIs that a route leads to and whose keys nobody checks."""
    standing = list(entities)
    guarded = [
        {
            e.fields["service"]["id"]
            for e in standing
            if e.fields.get("name") == name and e.fields.get("service")
        }
        for name in ("pre-function", "post-function", "key-auth", "acl", "http-log")
    ]
    routed = {
        e.fields["service"]["id"] for e in standing if e.kind is Kind.ROUTE and e.owner.concern == "api"
    }
    return [service for service in routed if not all(service in services for services in guarded)]


@given(before=tables(), after=tables())
@settings(max_examples=200, deadline=None)
def test_any_plan_leads_to_what_is_wanted_and_breaks_no_rule_of_kong_on_the_way(
    before: Tables, after: Tables
) -> None:
    kong = {entity.key: as_kong_returns(entity) for entity in wanted(before)}
    target = wanted(after, now=NOW + timedelta(seconds=1))
    for change in diff(target, kong.values()):
        key, entity = change.entity.key, change.entity
        if change.action is Action.DELETE:
            hanging = [e for e in kong.values() if e.parent == key]
            if entity.kind is Kind.ROUTE:  # its own plugins go with it: no other may open it without them
                kong = {k: e for k, e in kong.items() if e not in hanging}
                hanging = []
            assert not hanging, "a parent went before its children"
            kong.pop(key, None)
            assert unguarded(kong.values()) == []
            continue
        assert (key in kong) is (change.action is Action.UPDATE)
        assert entity.parent is None or entity.parent in kong, "a child came before its parent"
        others = {unique(e) for e in kong.values() if e.key != key} - {None}
        assert unique(entity) not in others, "a name was not free yet"
        kong[key] = as_kong_returns(entity)
        assert unguarded(kong.values()) == []
    assert diff(target, kong.values()) == []
    assert {e.key for e in kong.values()} == {e.key for e in target}
