"""A key that is restricted to scopes: where it passes, what it is told, what the provider is told."""

from __future__ import annotations

from typing import Any

import pytest

from catalog.domain.upstream_secret import derive_secret
from tests.gateway.keys import a_key
from tests.gateway.pdk import Exchange
from tests.gateway.test_introduction import API, CONSUMER, MASTER, TOLD, verified

READ_WRITE = ["api:A", "prefix:v1", "scopes:2", "scope:read", "scope:a%2Fb%2Cc"]


def call(held: list[str], route: list[str], **more: Any) -> Exchange:
    """A call by a key that holds these scopes, after key-auth and acl let it pass."""
    tags = [*CONSUMER, *(f"scope:{scope}" for scope in held)]
    return Exchange(
        request_headers={"X-API-Key": a_key()}, master=MASTER, consumer_tags=tags, credential_tags=[],
        service_tags=[f"api:{API}", "epoch:1"], route_tags=route, **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("held", "route", "passes"),
    [
        (["read", "a%2Fb%2Cc"], READ_WRITE, True),
        (["read", "a%2Fb%2Cc", "more"], READ_WRITE, True),
        (["read"], READ_WRITE, False),
        (["a%2Fb%2Cc"], READ_WRITE, False),
        (["rea"], ["scopes:1", "scope:read"], False),
        (["read"], ["scopes:0"], True),
        (["read"], ["api:A"], False),  # nobody knows what is asked for
        ([], READ_WRITE, True),
        ([], ["api:A"], True),
    ],
)
def test_a_key_passes_with_all_that_the_route_asks_for(
    held: list[str], route: list[str], *, passes: bool
) -> None:
    exchange = call(held, route)
    exited = exchange.run_access("post_access")
    assert (exited is None) is passes
    if exited is not None:
        problem = exchange.problem()
        assert (exited.status, problem["status"], problem["code"]) == (403, 403, "INSUFFICIENT_SCOPE")
        assert "X-Marketplace-Subscription" not in exchange.request_headers


def test_a_refusal_names_what_is_asked_for_where_that_is_known() -> None:
    exchange = call(["read"], READ_WRITE, status=403, source="exit")  # acl's
    problem = exchange.problem()
    assert (problem["code"], problem["required_scopes"]) == ("INSUFFICIENT_SCOPE", ["read", "a/b,c"])
    assert problem["detail"].endswith("needs: read a/b,c.")
    assert exchange.response_headers["X-Error-Code"] == "INSUFFICIENT_SCOPE"
    unknown = call(["read"], ["api:A"], status=403, source="exit").problem()
    assert unknown["code"] == "INSUFFICIENT_SCOPE"
    assert "required_scopes" not in unknown
    assert "does not say" in unknown["detail"]


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        (["stop:paused"], "SUBSCRIPTION_INACTIVE"),
        (["stop:quota", "until:1"], "QUOTA_EXCEEDED"),
        (["status:revoked"], "REVOKED_API_KEY"),
    ],
)
def test_whatever_stops_the_subscription_is_said_before_its_scopes(tags: list[str], code: str) -> None:
    exchange = call(["read"], READ_WRITE, status=403, source="exit")
    exchange.consumer_tags = [*(exchange.consumer_tags or []), *tags]
    assert exchange.problem()["code"] == code


def test_a_key_of_another_api_is_told_to_subscribe() -> None:
    exchange = call(["read"], READ_WRITE, status=403, source="exit")
    exchange.service_tags = ["api:B"]
    assert exchange.problem()["code"] == "SUBSCRIPTION_NOT_FOUND"


def test_the_provider_is_told_the_scopes_under_the_signature() -> None:
    secret = derive_secret(MASTER, API, 1).signing_secret
    scoped, plain = call(["read", "a%2Fb%2Cc"], READ_WRITE), call([], READ_WRITE)
    for exchange in (scoped, plain):
        assert exchange.run_access("post_access") is None
    assert scoped.request_headers["X-Marketplace-Scopes"] == "read a/b,c"
    assert "X-Marketplace-Scopes" not in plain.request_headers
    assert verified(scoped.request_headers, secret, names=(*TOLD, "Scopes"))
    assert not verified(scoped.request_headers, secret)  # it cannot be left out
    assert verified(plain.request_headers, secret)


def test_a_restricted_key_names_no_other_method() -> None:
    names = ("X-HTTP-Method-Override", "X-HTTP-Method", "x-method-override")
    left = []
    for held in (["read", "a%2Fb%2Cc"], []):
        exchange = call(held, READ_WRITE)
        exchange.request_headers |= dict.fromkeys(names, "DELETE")
        assert exchange.run_access("post_access") is None
        left.append([name for name in names if name in exchange.request_headers])
    assert left == [[], [*names]]


@pytest.mark.parametrize(
    ("path", "base", "asked", "prefix"),
    [
        ("/acme/pay/v1/things/7", "/base", "/base/things/7", "/acme/pay/v1/"),
        ("/acme/pay/things/7", "/base", "/base/things/7", "/acme/pay/"),
        ("/acme/pay/v10/things", "/base", "/base/v10/things", "/acme/pay/"),
        ("/acme/pay/v1", "/base", "/base", "/acme/pay/v1"),
        ("/acme/pay", None, "/", "/acme/pay"),
        ("/acme/pay/v1/", None, "/", "/acme/pay/v1/"),
        ("/acme/pay/v1/a%2Fb/\u00e9", None, "/a%2Fb/\u00e9", "/acme/pay/v1/"),
    ],
)
def test_the_provider_gets_the_path_below_the_version(
    path: str, base: str | None, asked: str, prefix: str
) -> None:
    exchange = call([], READ_WRITE, path=path, service_path=base)
    assert exchange.run_access("post_access") is None
    assert (exchange.upstream_path, exchange.var["upstream_x_forwarded_prefix"]) == (asked, prefix)


def test_where_kong_strips_nothing_is_stripped_again() -> None:
    exchange = call([], ["api:A"], path="/acme/pay/v1/things")
    assert exchange.run_access("post_access") is None
    assert exchange.upstream_path is None
