"""A version that is going says so on every answer; one that is gone answers 410, from its very second on."""

from __future__ import annotations

import pytest

from tests.gateway.keys import a_key
from tests.gateway.pdk import NOW, Exchange

PREFLIGHT: dict[str, str | list[str]] = {
    "Origin": "https://a.example",
    "Access-Control-Request-Method": "GET",
}


def test_a_deprecated_version_says_since_when_until_when_and_what_follows() -> None:
    exchange = Exchange(
        path="/acme/pay/v1/things",
        service_tags=["api:A", "deprecated:1777593600", "sunset:1793491200", "successor:v2"],
        response_headers={"Link": '</terms>; rel="license"'},
    )
    exchange.run("header_filter")
    assert exchange.response_headers["Deprecation"] == "@1777593600"
    assert exchange.response_headers["Sunset"] == "Sun, 01 Nov 2026 00:00:00 GMT"
    assert exchange.response_headers["Link"] == (
        '</terms>; rel="license", </acme/pay/v2>; rel="successor-version"'
    )


def test_any_other_version_says_nothing_of_it() -> None:
    exchange = Exchange(path="/acme/pay/v1/things")
    exchange.run("header_filter")
    assert not {"Deprecation", "Sunset", "Link"} & set(exchange.response_headers)


@pytest.mark.parametrize(("sunset_at", "refused"), [(int(NOW) + 1, False), (int(NOW), True), (0, True)])
def test_a_version_is_gone_from_its_second_on(sunset_at: int, refused: bool) -> None:
    exchange = Exchange(
        request_headers={"X-API-Key": a_key()}, path="/acme/pay/v1",
        service_tags=["api:A", f"sunset:{sunset_at}", "successor:v2"],
    )  # fmt: skip
    assert (exchange.run_access() is not None) is refused
    if not refused:
        return
    problem = exchange.problem()
    assert (problem["status"], problem["code"]) == (410, "API_VERSION_SUNSET")
    assert exchange.response_headers["Link"] == '</acme/pay/v2>; rel="successor-version"'
    assert ("Sunset" in exchange.response_headers) is (sunset_at > 0)


@pytest.mark.parametrize(
    ("tag", "wait"),
    [
        (f"maintenance:{int(NOW) + 90}", "90"),
        ("maintenance:0", "300"),
        ("closed:suspended", "3600"),
        (f"maintenance:{int(NOW)}", None),
    ],
)
def test_what_is_closed_says_when_to_come_back(tag: str, wait: str | None) -> None:
    exchange = Exchange(request_headers={"X-API-Key": a_key()}, service_tags=["api:A", tag])
    assert (exchange.run_access() is not None) is (wait is not None)
    if wait is None:
        return
    problem = exchange.problem()
    assert (problem["status"], problem["code"]) == (503, "API_UNAVAILABLE")
    assert exchange.response_headers["Retry-After"] == wait


def test_a_closed_api_lets_preflights_go_no_further_than_cors() -> None:
    exchange = Exchange(request_headers=PREFLIGHT, service_tags=["maintenance:0"])
    assert exchange.run_access() is None
    exited = exchange.run_access("post_access")
    assert exited is not None
    assert exited.status == 503


def test_nobody_needs_a_key_to_learn_that_it_is_gone() -> None:
    exchange = Exchange(service_tags=["sunset:0"])
    assert exchange.run_access() is not None
    assert exchange.problem()["code"] == "API_VERSION_SUNSET"


def test_a_preflight_goes_on_to_cors_and_no_further() -> None:
    exchange = Exchange(request_headers=PREFLIGHT | {"X-API-Key": a_key()}, service_tags=["sunset:0"])
    assert exchange.run_access() is None
    assert exchange.run_access("post_access") is not None
    assert exchange.problem()["code"] == "API_VERSION_SUNSET"
