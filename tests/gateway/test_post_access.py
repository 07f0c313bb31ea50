"""A key past its expiry is refused although its credential still exists."""

from __future__ import annotations

import pytest

from tests.gateway.pdk import NOW, Exchange


@pytest.mark.parametrize("tags", [None, [], ["ns:m"], [f"exp:{int(NOW) + 1}"], ["exp:never"]])
def test_a_key_before_its_expiry_passes(tags: list[str] | None) -> None:
    assert Exchange(credential_tags=tags).run_access("post_access") is None


@pytest.mark.parametrize("expires_at", [int(NOW), int(NOW) - 1, 1])
def test_a_key_past_its_expiry_is_refused_and_says_so(expires_at: int) -> None:
    exchange = Exchange(credential_tags=["ns:m", f"exp:{expires_at}"], consumer_tags=["api:A"])
    assert exchange.run_access("post_access") is not None
    problem = exchange.problem()
    assert (problem["status"], problem["code"]) == (401, "EXPIRED_API_KEY")
