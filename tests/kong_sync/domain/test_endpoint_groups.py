"""Which route a call to an endpoint takes."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kong_sync.domain.endpoint_groups import Group, groups_of
from kong_sync.domain.records import Endpoint, Scopes

READ, WRITE = ("read",), ("write",)
NONE: Scopes = ()
UNKNOWN: Scopes = None
PREFIX = "/acme/pay/v1"


def some(*paths: tuple[str, Scopes], method: str = "POST") -> tuple[Endpoint, ...]:
    return tuple(Endpoint(method, path, scopes) for path, scopes in paths)


def taken(groups: Iterable[Group], method: str, path: str, *, besides: Iterable[str] = ()) -> Scopes | str:
    """What the route that Kong chooses asks for; "general" when no group's route fits."""
    fitting = [
        group
        for group in groups
        if method in group.methods
        and any(re.match(one[1:], PREFIX + path) for one in group.paths(PREFIX, besides=frozenset(besides)))
    ]
    return max(fitting, key=lambda group: group.level).scopes if fitting else "general"


def test_endpoints_that_ask_for_the_same_share_a_route_however_many_they_are() -> None:
    endpoints = some(*[(f"/things/{n}/{{id}}", READ if n % 2 else WRITE) for n in range(500)])
    groups = groups_of(endpoints)
    assert [(group.scopes, len(group.templates)) for group in groups] == [(READ, 250), (WRITE, 250)]
    regexes = groups[0].paths(PREFIX)
    assert 1 < len(regexes) < 10
    assert all(len(regex) < 5_000 for regex in regexes)


def test_a_template_is_matched_whole_and_by_its_method() -> None:
    groups = groups_of(
        some(("/things", READ), ("/things/{id}", WRITE), ("/a.b/{name}.json", READ), ("/", NONE))
    )
    asked = {
        "": NONE, "/": NONE, "/things": READ, "/things/": "general", "/things/7": WRITE, "/things/7/": "general",
        "/things/7/x": "general", "/thingsx": "general", "/a.b/c.json": READ, "/axb/c.json": "general",
        "/a.b/.json": "general", "/things/a%20b": WRITE, "/things/ü": WRITE,
    }  # fmt: skip
    assert {path: taken(groups, "POST", path) for path in asked} == asked
    assert taken(groups, "GET", "/things") == "general"


@pytest.mark.parametrize("spelled", ["..%2Fadmin", "a%2Fb", "a\\b", "%2F"])
def test_a_parameter_holds_nothing_that_the_provider_may_take_for_a_slash(spelled: str) -> None:
    assert taken(groups_of(some(("/things/{id}", READ))), "POST", f"/things/{spelled}") == "general"


def test_the_more_specific_template_wins_whatever_it_asks_for() -> None:
    groups = groups_of(
        some(
            ("/{kind}/{id}", READ), ("/users/{id}", WRITE), ("/users/me", READ), ("/{kind}/secret", UNKNOWN),
            ("/users/{name}.json", NONE), ("/orders/{id}", READ), ("/lists", UNKNOWN),
        )
    )  # fmt: skip
    asked = {
        "/x/1": READ, "/users/1": WRITE, "/users/me": READ, "/x/secret": UNKNOWN, "/users/secret": WRITE,
        "/users/a.json": NONE, "/orders/1": READ, "/lists": "general", "/orders/secret": READ,
    }  # fmt: skip
    assert {path: taken(groups, "POST", path) for path in asked} == asked
    assert [group.scopes for group in groups].count(UNKNOWN) == 1  # only where another's would take it


def test_another_case_is_no_way_round_a_template() -> None:
    groups = groups_of(
        some(("/users/{id}", READ), ("/users/me", WRITE), ("/V2/x", READ), ("/a", READ), ("/A", WRITE))
    )
    asked = {"/users/ME": WRITE, "/Users/7": READ, "/a": "general", "/A": "general", "/v2/x": READ}
    assert {path: taken(groups, "POST", path) for path in asked} == asked
    assert taken(groups, "POST", "/v2/x", besides={"v2"}) == "general"


def test_templates_that_overlap_without_end_have_no_routes() -> None:
    def towers(height: int) -> tuple[Endpoint, ...]:
        paths = ["/" + "/".join(["a"] * n + ["{x}"] * (12 - n)) for n in range(height)]
        return some(*[(path, READ if n % 2 else WRITE) for n, path in enumerate(paths)])

    assert len(groups_of(towers(10))) == 10
    assert groups_of(towers(11)) == ()


def test_a_head_that_is_not_described_is_its_get() -> None:
    described = some(("/a", READ), method="GET")
    assert taken(groups_of(described), "HEAD", "/a") == READ
    assert taken(groups_of(described + some(("/b", WRITE), method="HEAD")), "HEAD", "/a") == "general"


def test_where_no_version_is_named_the_names_of_versions_are_theirs() -> None:
    groups = groups_of(some(("/{kind}/x", READ), ("/v2/y", READ), ("/{kind}", WRITE), ("/v{n}/z", READ)))
    names = {"v1", "v2", "v10.1", "v1-beta"}
    asked = {
        "/v1/x": "general", "/v2/x": "general", "/v10.1/x": "general", "/v1-beta/x": "general", "/v2": "general",
        "/v2/y": "general", "/v9/z": "general", "/v/x": READ, "/v3/x": READ, "/v10/x": READ, "/v10x1/x": READ,
        "/v1-bet/x": READ, "/v1-betas/x": READ, "/v11/x": READ, "/w1/x": READ, "/%2F/x": "general", "/v3": WRITE,
        "/v1%2Fx/x": "general",
    }  # fmt: skip
    assert {path: taken(groups, "POST", path, besides=names) for path in asked} == asked


SEGMENTS = st.sampled_from(["a", "b", "{x}", "{x}.b"])
SCOPES = st.sampled_from([READ, WRITE, NONE, UNKNOWN])
TEMPLATES = st.dictionaries(st.lists(SEGMENTS, min_size=1, max_size=3).map(tuple), SCOPES, max_size=8)
CALLS = st.lists(st.sampled_from(["a", "b", "c", "c.b"]), min_size=1, max_size=3)


def most_specific(templates: dict[tuple[str, ...], Scopes], call: list[str]) -> Scopes:
    """What the template asks for whose leftmost differing segment is the more literal."""
    fitting = [
        segments
        for segments in templates
        if len(segments) == len(call)
        and all(
            part == segment or segment == "{x}" or (segment == "{x}.b" and part == "c.b")
            for segment, part in zip(segments, call, strict=True)
        )
    ]
    order = {"{x}": 2, "{x}.b": 1}
    best = min(fitting, key=lambda segments: [order.get(s, 0) for s in segments], default=None)
    return templates[best] if best else None


@given(TEMPLATES, CALLS)
def test_no_call_takes_a_route_but_that_of_its_own_endpoint(
    templates: dict[tuple[str, ...], Scopes], call: list[str]
) -> None:
    groups = groups_of(some(*[("/" + "/".join(segments), asked) for segments, asked in templates.items()]))
    found = taken(groups, "POST", "/" + "/".join(call))
    assert (None if found == "general" else found) == most_specific(templates, call)
