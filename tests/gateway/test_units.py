"""What the provider's answer may say, and what only the gateway does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.pdk import Exchange

METERED = ["api:A", "units:x-tokens-used"]


def answered(**known: Any) -> Exchange:
    exchange = Exchange(**{"consumer_tags": METERED} | known)
    exchange.run("header_filter")
    return exchange


@pytest.mark.parametrize(
    ("reported", "units"), [("0", 0), ("42", 42), ("007", 7), ("1000000001", 10**9), ("9" * 400, 10**9)]
)
def test_units_go_into_the_log_entry_and_no_further(reported: str, units: int) -> None:
    exchange = answered(response_headers={"X-Tokens-Used": reported, "X-Other": "1"})
    assert exchange.logged == {"usage_units": units}
    assert "X-Tokens-Used" not in exchange.response_headers
    assert exchange.response_headers["X-Other"] == "1"


@pytest.mark.parametrize("reported", ["", "-1", "1.5", "1e3", "0x10", " 7", "many", "inf", "nan"])
def test_what_is_no_whole_number_says_nothing(reported: str) -> None:
    exchange = answered(response_headers={"X-Tokens-Used": reported})
    assert exchange.logged == {}
    assert "X-Tokens-Used" not in exchange.response_headers


def test_only_the_provider_says_what_a_call_was_worth() -> None:
    assert answered(source="exit", response_headers={"X-Tokens-Used": "7"}).logged == {}


@pytest.mark.parametrize("tags", [None, [], ["api:A"]])
def test_a_plan_without_such_a_header_leaves_it_alone(tags: list[str] | None) -> None:
    exchange = answered(consumer_tags=tags, response_headers={"X-Tokens-Used": "7"})
    assert exchange.logged == {}
    assert exchange.response_headers["X-Tokens-Used"] == "7"


SPOOFED = {
    "X-Error-Code": "QUOTA_EXCEEDED", "X-Request-Id": "theirs", "X-RateLimit-Limit": "1", "X-RateLimit-Reset": "9",
    "X-RateLimit-Remaining-Day": "0", "X-RateLimit-Limit-Day": "1", "RateLimit-Remaining": "0",
}  # fmt: skip


def test_nothing_that_the_provider_sends_passes_for_the_gateways() -> None:
    limits = {"X-RateLimit-Limit-Minute": "60", "X-RateLimit-Remaining-Minute": "59", "RateLimit-Reset": "12"}
    exchange = Exchange(response_headers=dict(limits))
    assert exchange.run_access("post_access") is None
    exchange.response_headers |= SPOOFED
    exchange.run("pre_header_filter")
    assert exchange.response_headers == limits | {"X-Request-Id": "theirs"}
    exchange.run("header_filter")
    assert exchange.response_headers["X-Request-Id"] == exchange.request_id
    assert exchange.response_headers["X-RateLimit-Remaining"] == "59"
    assert "X-Error-Code" not in exchange.response_headers


def test_the_gateways_own_answer_keeps_what_kong_wrote() -> None:
    headers = {"X-RateLimit-Limit-Minute": "60", "X-RateLimit-Remaining-Minute": "0"}
    exchange = Exchange(status=429, source="exit", response_headers=dict(headers))
    exchange.run("pre_header_filter")
    assert exchange.response_headers == headers
