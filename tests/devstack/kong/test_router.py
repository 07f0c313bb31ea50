"""Which route wins, and what path goes upstream."""

from __future__ import annotations

from typing import Any

import pytest

from devstack.kong.headers import Headers
from devstack.kong.paths import BadPath, escape, join_upstream, normalise
from devstack.kong.router import Router


def a_route(name: str, **more: Any) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys(("methods", "hosts", "headers", "paths"))
    return empty | {"name": name, "regex_priority": 0, "created_at": 1} | more


def winner(
    *routes: dict[str, Any], method: str = "GET", host: str = "a", path: str = "/", **headers: str
) -> str | None:
    sent = Headers((name.replace("_", "-"), value) for name, value in headers.items())
    match = Router(routes).match(method, host, path, sent)
    return None if match is None else str(match.route["name"])


def test_the_longer_prefix_wins() -> None:
    routes = a_route("short", paths=["/acme/"]), a_route("long", paths=["/acme/pay/v1/"])
    assert winner(*routes, path="/acme/pay/v1/charges") == "long"
    assert winner(*routes, path="/acme/pay/v10/charges") == "short"


def test_a_closed_regex_takes_the_bare_path_only() -> None:
    pay = a_route("pay", paths=["/acme/pay/v1/", "~/acme/pay/v1$"])
    provider = a_route("provider", paths=["/acme/"])
    assert winner(pay, provider, path="/acme/pay/v1") == "pay"
    assert winner(pay, provider, path="/acme/pay/v1/x") == "pay"
    assert winner(pay, provider, path="/acme/pay/v10") == "provider"


def test_a_regex_goes_before_a_prefix_and_the_higher_priority_before_the_lower() -> None:
    prefix = a_route("prefix", paths=["/things/special/long/"])
    low = a_route("low", paths=["~/things/.*"])
    high = a_route("high", paths=["~/things/spec.*"], regex_priority=5)
    assert winner(prefix, low, path="/things/special/long/x") == "low"
    assert winner(prefix, low, high, path="/things/special/long/x") == "high"


def test_more_kinds_of_condition_go_before_fewer() -> None:
    path = a_route("path", paths=["/a/long/path"])
    both = a_route("both", paths=["/a"], methods=["GET"])
    three = a_route("three", paths=["/a"], methods=["GET"], hosts=["h.example"])
    assert winner(path, both, path="/a/long/path") == "both"
    assert winner(path, both, three, path="/a/long/path", host="h.example") == "three"
    assert winner(path, both, three, method="POST", path="/a/long/path") == "path"


def test_hosts_may_hold_a_wildcard_and_plain_ones_go_first() -> None:
    wild = a_route("wild", hosts=["*.example"])
    plain = a_route("plain", hosts=["api.example"])
    assert winner(wild, plain, host="api.example") == "plain"
    assert winner(wild, plain, host="www.example") == "wild"
    assert winner(wild, plain, host="example") is None


def test_plain_hosts_go_before_more_headers_and_all_regexes_are_equally_long() -> None:
    plain = a_route("plain", hosts=["api.example"], headers={"x-a": ["1"]})
    wild = a_route("wild", hosts=["*.example"], headers={"x-a": ["1"], "x-b": ["1"]})
    assert winner(wild, plain, host="api.example", X_A="1", X_B="1") == "plain"
    long = a_route("long", paths=["~/things/[a-z]+/[a-z]+"], created_at=2)
    short = a_route("short", paths=["~/things/.*"], created_at=1)
    assert winner(long, short, path="/things/a/b") == "short"


def test_headers_must_all_be_there() -> None:
    tenant = a_route("tenant", headers={"x-tenant": ["t1", "t2"], "x-mode": ["~*^te"]})
    assert winner(tenant, X_Tenant="T2", X_Mode="test") == "tenant"
    assert winner(tenant, X_Tenant="t2") is None


def test_the_older_route_wins_a_tie() -> None:
    assert (
        winner(
            a_route("new", paths=["/x"], created_at=2), a_route("old", paths=["/x"], created_at=1), path="/x"
        )
        == "old"
    )


def test_a_named_group_is_remembered() -> None:
    route = a_route("r", paths=[r"~/orders/(?P<id>\d+)"])
    match = Router([route]).match("GET", "a", "/orders/42/lines", Headers())
    assert match is not None
    assert (match.prefix, match.captures) == ("/orders/42", {"id": "42"})


@pytest.mark.parametrize(
    ("sent", "normal"),
    [
        ("/a/../b//c", "/b/c"),
        ("/a/./b/", "/a/b/"),
        ("/%61%2Fb%2f", "/a%2Fb%2F"),
        ("/a/..", "/"),
        ("/a%20b%7b%3F", "/a b{%3F"),
    ],
)
def test_paths_are_made_canonical_before_routing(sent: str, normal: str) -> None:
    assert normalise(sent) == normal


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/a b{%3F", "/a%20b%7B%3F"),
        ("/\u00c3\u00a9/\u20ac", "/%C3%A9/%E2%82%AC"),
        ("/\r\nX: y", "/%0D%0AX:%20y"),
    ],
)
def test_paths_are_escaped_again_for_the_upstream(path: str, sent: str) -> None:
    assert escape(path) == sent


@pytest.mark.parametrize("sent", ["/..", "/a/../../b", "/%zz", "/%00", "/%2e%2e/x"])
def test_a_path_out_of_the_root_is_refused(sent: str) -> None:
    with pytest.raises(BadPath):
        normalise(sent)


@pytest.mark.parametrize(
    ("base", "path", "prefix", "sent"),
    [
        ("/", "/acme/pay/v1/x", "/acme/pay/v1/", "/x"),
        ("/base", "/acme/pay/v1/x", "/acme/pay/v1/", "/base/x"),
        ("/base/", "/acme/x", "/acme", "/base/x"),
        ("/base", "/acme", "/acme", "/base"),
        ("/base/", "/acme", "/acme", "/base"),
        ("/base", "/acme/", "/acme/", "/base/"),
        ("/", "/acme", "/acme", "/"),
    ],
)
def test_the_rest_of_the_path_is_joined_to_the_services(base: str, path: str, prefix: str, sent: str) -> None:
    assert join_upstream(base, path, path[len(prefix) :], strip=True) == sent


def test_without_stripping_the_whole_path_is_joined() -> None:
    assert join_upstream("/pre", "/strip0/a", "", strip=False) == "/pre/strip0/a"
    assert join_upstream("/pre", "/", "", strip=False) == "/pre"
    assert join_upstream("/", "/a", "", strip=False) == "/a"
