"""From a subscription's rows to its consumers, limits, access and keys."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kong_sync.domain.edge import RedisAddress
from kong_sync.domain.entities import Entity, Kind, tag_value
from kong_sync.domain.limits import WINDOWS, Limits
from tests.kong_sync.factories import (
    NOW,
    a_key,
    a_phase,
    a_quota,
    a_subscription,
    an_edge,
    an_id,
    of_kind,
    plugin,
    some_tables,
    wanted,
)  # fmt: skip


def test_the_terms_that_decide_how_a_call_counts_stand_in_the_consumers_tags() -> None:
    phase = a_phase(units_header="x-rows", units_cap=100, counted_statuses=("2xx", "404"))
    tables = some_tables(subscriptions=[a_subscription(phases=(phase,))])
    (consumer,) = of_kind(wanted(tables), Kind.CONSUMER, "subscription")
    tags = consumer.fields["tags"]
    assert [tag_value(tags, name) for name in ("units", "cap", "counts")] == ["x-rows", "100", "2xx.404"]
    (plain,) = of_kind(wanted(), Kind.CONSUMER, "subscription")
    assert [tag_value(plain.fields["tags"], name) for name in ("units", "cap", "counts")] == [None] * 3


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


UNLIMITED = a_subscription(phases=(a_phase(limits=Limits()),))


def test_one_without_limits_has_a_limit_that_is_out_of_reach_and_not_shown() -> None:
    edge = an_edge(redis=RedisAddress("redis.internal", 6380, 2))
    config = plugin(
        wanted(some_tables(subscriptions=[UNLIMITED]), edge=edge), "rate-limiting", "subscription"
    ).fields["config"]
    assert {
        window: config[window] for window in ("second", "minute", "hour", "day", "month")
    } == dict.fromkeys(("second", "minute", "hour", "day", "month"))
    assert config["year"] > 30_000 * 86_400 * 366
    assert (config["hide_client_headers"], config["policy"], "redis" in config) == (True, "local", False)


def test_without_a_default_limit_one_without_limits_has_no_limiting_plugin() -> None:
    tables = some_tables(subscriptions=[UNLIMITED])
    assert (
        of_kind(wanted(tables, edge=an_edge(default_calls_per_second=0)), Kind.PLUGIN, "subscription") == []
    )


def test_every_consumer_has_limits_of_its_own_over_the_default() -> None:
    keys = [
        a_key(),
        a_key(id=an_id("test"), sha256="2" * 64, mode="test"),
        a_key(id=an_id("share"), sha256="3" * 64, share_id=an_id("share"), limits=Limits()),
    ]
    entities = wanted(some_tables(subscriptions=[UNLIMITED], keys=keys))
    limited = {e.fields["consumer"]["id"] for e in of_kind(entities, Kind.PLUGIN, "subscription")}
    assert limited == {e.id for e in of_kind(entities, Kind.CONSUMER, "subscription")}


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
