from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.domain.matcher import Endpoint, Matcher, relative_path, segments


def an_endpoint(path: str, method: str = "GET", weight: int = 1) -> Endpoint:
    return Endpoint(f"{method} {path}", method, path, weight)


MATCHER = Matcher(
    [
        an_endpoint("/"), an_endpoint("/things"), an_endpoint("/things", "POST"), an_endpoint("/things/{id}"),
        an_endpoint("/things/mine"), an_endpoint("/things/{id}/parts/{part}"), an_endpoint("/files/{name}.json"),
        an_endpoint("/files/{name}"), an_endpoint("/{tenant}/reports", weight=5),
    ]
)  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        ("GET", "/", "GET /"), ("GET", "/things", "GET /things"), ("POST", "/things", "POST /things"),
        ("GET", "/things/7", "GET /things/{id}"), ("GET", "/things/mine", "GET /things/mine"),
        ("GET", "/things/7/parts/a%2Fb", None), ("GET", "/things/7/parts/9", "GET /things/{id}/parts/{part}"),
        ("GET", "/files/a.json", "GET /files/{name}.json"), ("GET", "/files/a.xml", "GET /files/{name}"),
        ("GET", "/things/reports", "GET /things/{id}"), ("GET", "/acme/reports", "GET /{tenant}/reports"),
        ("GET", "/things/", "GET /things"), ("GET", "//things", "GET /things"), ("GET", "/th%69ngs", "GET /things"),
        ("GET", "/x/../things/./mine", "GET /things/mine"), ("HEAD", "/things/7", "GET /things/{id}"),
        ("DELETE", "/things", None), ("GET", "/nothing/here/at/all", None), ("GET", "", "GET /"),
    ],
)  # fmt: skip
def test_a_call_is_attributed_to_the_endpoint_the_upstream_would_answer_with(
    method: str, path: str, found: str | None
) -> None:
    endpoint = MATCHER.match(method, path)
    assert (endpoint.endpoint_id if endpoint else None) == found


def test_a_dead_end_behind_a_literal_falls_back_to_the_parameter() -> None:
    matcher = Matcher([an_endpoint("/a/b/c"), an_endpoint("/{x}/b/d")])
    endpoint = matcher.match("GET", "/a/b/d")
    assert endpoint is not None
    assert endpoint.path == "/{x}/b/d"


@pytest.mark.parametrize(
    ("path", "relative"),
    [("/acme/pay/v1/things/7", "/things/7"), ("/acme/pay/v1", "/"), ("/acme/pay/v1/", "/"),
     ("/acme/pay/things", "/things"),
     ("/acme/pay", "/"), ("/acme/pay/", "/"), ("", "/"), ("/acme/pay/v10/things", "/v10/things")],
)  # fmt: skip
def test_the_prefix_of_provider_api_and_version_is_taken_off(path: str, relative: str) -> None:
    assert relative_path(path, "v1") == relative


words = st.text("abc", min_size=1, max_size=3)


@given(st.lists(st.lists(words, min_size=1, max_size=4), min_size=1, max_size=8, unique_by=tuple))
def test_every_literal_template_finds_itself(templates: list[list[str]]) -> None:
    matcher = Matcher(an_endpoint("/" + "/".join(t)) for t in templates)
    for template in templates:
        found = matcher.match("GET", "/" + "/".join(template))
        assert found is not None
        assert found.path == "/" + "/".join(template)


@given(st.text(max_size=60))
def test_no_path_raises_and_dots_never_climb_out(path: str) -> None:
    assert ".." not in segments(path)
    MATCHER.match("GET", path)
