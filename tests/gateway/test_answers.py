"""Every answer the gateway itself makes is a problem detail; the provider's own are left alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.pdk import LUA, NOW, Exchange


def refused(status: int, **known: Any) -> Exchange:
    """A request that Kong answered itself, with `status`."""
    exchange = Exchange(status=status, source="exit", response_headers={"Content-Length": "96"}, **known)
    exchange.shared.marketplace_key_presented = True
    return exchange


def test_a_problem_detail_is_whole() -> None:
    exchange = Exchange(
        status=401, source="exit", response_headers={"Content-Length": "96", "Content-Type": "a/b"}
    )
    assert exchange.problem('{"mess', 'age":"x"}') == {
        "type": "/problems/missing-api-key",
        "title": "Unauthorized",
        "status": 401,
        "detail": "Send your API key in the X-API-Key header.",
        "code": "MISSING_API_KEY",
        "request_id": exchange.request_id,
    }
    assert exchange.response_headers == {
        "Content-Type": "application/problem+json",
        "WWW-Authenticate": "Key",
        "X-Error-Code": "MISSING_API_KEY",
        "X-Request-Id": exchange.request_id,
        "X-Response-Time": "12ms",
    }


def test_an_unknown_key_is_invalid() -> None:
    assert refused(401).problem()["code"] == "INVALID_API_KEY"


@pytest.mark.parametrize(
    ("tags", "status", "code"),
    [
        (["api:A", "stop:quota", f"until:{int(NOW) + 60}"], 429, "QUOTA_EXCEEDED"),
        (["api:A", "stop:past_due"], 403, "SUBSCRIPTION_INACTIVE"),
        (["api:A", "stop:paused"], 403, "SUBSCRIPTION_INACTIVE"),
        (["api:A", "stop:canceled"], 403, "SUBSCRIPTION_INACTIVE"),
        (["api:A", "stop:pending"], 403, "SUBSCRIPTION_INACTIVE"),
        (["api:A"], 403, "SUBSCRIPTION_INACTIVE"),
        (["api:B"], 403, "SUBSCRIPTION_NOT_FOUND"),
        (["api:B", "stop:paused"], 403, "SUBSCRIPTION_NOT_FOUND"),
        ([], 403, "SUBSCRIPTION_NOT_FOUND"),
        (["status:revoked"], 401, "REVOKED_API_KEY"),
        (["status:expired"], 401, "EXPIRED_API_KEY"),
    ],
)
def test_the_consumers_tags_name_the_reason_behind_acls_403(tags: list[str], status: int, code: str) -> None:
    exchange = refused(403, consumer_tags=tags)
    problem = exchange.problem()
    assert (problem["status"], exchange.status, problem["code"]) == (status, status, code)
    assert exchange.response_headers["X-Error-Code"] == code


@pytest.mark.parametrize(("until", "wait"), [(int(NOW) + 3600, "3600"), (int(NOW) - 5, "1")])
def test_a_spent_quota_says_when_to_come_back(until: int, wait: str) -> None:
    exchange = refused(403, consumer_tags=["api:A", "stop:quota", f"until:{until}"])
    exchange.problem()
    assert exchange.response_headers["Retry-After"] == wait


@pytest.mark.parametrize(
    ("kong_says", "status", "code"),
    [
        (400, 400, "BAD_REQUEST"),
        (404, 404, "API_NOT_FOUND"),
        (405, 405, "METHOD_NOT_ALLOWED"),
        (408, 408, "BAD_REQUEST"),
        (410, 410, "API_VERSION_SUNSET"),
        (413, 413, "REQUEST_TOO_LARGE"),
        (460, 403, "IP_BLOCKED"),
        (417, 413, "REQUEST_TOO_LARGE"),
        (429, 429, "RATE_LIMIT_EXCEEDED"),
        (500, 500, "PROXY_ERROR"),
        (502, 502, "PROXY_ERROR"),
        (503, 503, "API_UNAVAILABLE"),
        (504, 504, "API_UNAVAILABLE"),
    ],
)
def test_each_status_has_its_code(kong_says: int, status: int, code: str) -> None:
    exchange = refused(kong_says, consumer_tags=["api:A"])
    problem = exchange.problem()
    assert (problem["status"], problem["code"]) == (status, code)


def test_kongs_own_retry_after_survives_a_429() -> None:
    exchange = refused(429)
    exchange.response_headers["Retry-After"] = "38"
    exchange.problem()
    assert exchange.response_headers["Retry-After"] == "38"


@pytest.mark.parametrize(
    ("status", "source"), [(500, "service"), (404, "service"), (200, "exit"), (204, "exit")]
)
def test_the_providers_answers_and_preflights_keep_their_body(status: int, source: str) -> None:
    exchange = Exchange(
        status=status, source=source, response_headers={"Content-Type": "text/x", "Content-Length": "3"}
    )
    exchange.run("header_filter")
    exchange.arg[1], exchange.arg[2] = "abc", True
    exchange.run("body_filter")
    assert exchange.arg[1] == "abc"
    assert exchange.response_headers == {
        "Content-Type": "text/x",
        "Content-Length": "3",
        "X-Request-Id": exchange.request_id,
        "X-Response-Time": "12ms",
    }


@pytest.mark.parametrize(
    ("windows", "limit", "remaining", "reset"),
    [
        ({"Minute": (60, 10)}, "60", "10", str(60 - int(NOW) % 60)),
        ({"Minute": (60, 10), "Hour": (100, 3)}, "100", "3", str(3600 - int(NOW) % 3600)),
        ({"Second": (5, 0), "Day": (1000, 900)}, "5", "0", "1"),
        ({"Minute": (60, 0), "Day": (1000, 0)}, "1000", "0", str(86400 - int(NOW) % 86400)),
    ],
)
def test_the_tightest_window_is_the_one_told(
    windows: dict[str, tuple[int, int]], limit: str, remaining: str, reset: str
) -> None:
    headers: dict[str, str] = {}
    for window, (most, left) in windows.items():
        headers |= {f"X-RateLimit-Limit-{window}": str(most), f"X-RateLimit-Remaining-{window}": str(left)}
    exchange = Exchange(response_headers=headers)
    exchange.run("header_filter")
    told = [exchange.response_headers[f"X-RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset")]
    assert told == [limit, remaining, reset]


def test_the_addresses_that_kong_sync_fills_in_are_used() -> None:
    source = (LUA / "header_filter.lua").read_text(encoding="utf-8")
    source = source.replace("@PROBLEM_BASE@", "https://m.example/problems/").replace(
        "@PORTAL_URL@", "https://m.example"
    )
    exchange = refused(403, consumer_tags=["api:A", "subscription:S", "stop:quota", f"until:{int(NOW) + 9}"])
    exchange.run("header_filter", source)
    assert '"type":"https://m.example/problems/quota-exceeded"' in exchange.plugin.problem
    assert '"upgrade_url":"https://m.example/subscriptions/S/plans"' in exchange.plugin.problem


def test_a_request_id_cannot_break_out_of_the_json() -> None:
    exchange = Exchange(status=404, source="exit", request_id='a"b\\c\n')
    assert exchange.problem()["request_id"] == 'a"b\\c\n'
