"""The provider is told who calls, and can tell that it was the gateway who said so."""

from __future__ import annotations

import base64
import hashlib
import hmac
from uuid import UUID

import pytest

from catalog.domain.upstream_secret import derive_secret
from tests.gateway.keys import a_key
from tests.gateway.pdk import NOW, Exchange

API = UUID("01900000-0000-7000-8000-000000000011")
MASTER = "a master of thirty-two characters"
CONSUMER = ["ns:m", "subscription:S", "org:O", "plan:P", f"api:{API}", "mode:live"]
TOLD = ("Timestamp", "Request-Id", "Organisation", "Subscription", "Plan", "Mode")


def passed(
    sent: dict[str, str | list[str]] | None = None, *, epoch: int = 1, master: str | None = MASTER
) -> Exchange:
    """A call that was let through, as the provider's server gets it."""
    exchange = Exchange(
        request_headers={"X-API-Key": a_key(), **(sent or {})}, master=master, consumer_tags=CONSUMER,
        service_tags=[f"api:{API}", f"epoch:{epoch}"], credential_tags=[],
    )  # fmt: skip
    assert exchange.run_access() is None
    assert exchange.run_access("post_access") is None
    return exchange


def verified(
    headers: dict[str, str | list[str]], signing_secret: str, *, names: tuple[str, ...] = TOLD
) -> bool:
    """The recipe of gateway/README.md, written down once more."""
    message = "\n".join(str(headers[f"X-Marketplace-{name}"]) for name in names)
    digest = hmac.digest(signing_secret.encode(), message.encode(), hashlib.sha256)
    expected = "v1=" + base64.urlsafe_b64encode(digest).decode().rstrip("=")
    signatures = str(headers["X-Marketplace-Signature"]).split(", ")
    return any(hmac.compare_digest(expected, one) for one in signatures)


def test_the_provider_learns_who_calls() -> None:
    headers = passed().request_headers
    assert {name: headers[f"X-Marketplace-{name}"] for name in TOLD} == {
        "Timestamp": str(int(NOW)), "Request-Id": "0123456789abcdef0123456789abcdef",
        "Organisation": "O", "Subscription": "S", "Plan": "P", "Mode": "live",
    }  # fmt: skip


def test_what_the_provider_was_shown_verifies_what_the_gateway_sent() -> None:
    headers = passed().request_headers
    shown = derive_secret(MASTER, API, 1)
    assert headers["X-Marketplace-Secret"] == shown.secret
    assert verified(headers, shown.signing_secret)
    assert not verified(headers | {"X-Marketplace-Organisation": "Q"}, shown.signing_secret)
    assert not verified(headers, derive_secret(MASTER, UUID(int=1), 1).signing_secret)


@pytest.mark.parametrize(("known", "holds"), [(1, False), (2, True), (3, True), (4, False)])
def test_the_secret_before_is_good_until_the_next_rotation(known: int, holds: bool) -> None:
    headers = passed(epoch=3).request_headers
    shown = derive_secret(MASTER, API, known)
    assert verified(headers, shown.signing_secret) is holds
    assert (shown.secret in str(headers["X-Marketplace-Secret"]).split(", ")) is holds


def test_what_is_sent_does_not_sign() -> None:
    shown = derive_secret(MASTER, API, 1)
    assert shown.secret != shown.signing_secret
    assert MASTER not in str(passed().request_headers)


@pytest.mark.parametrize("master", [None, ""])
def test_without_a_master_nothing_passes_for_a_proof(master: str | None) -> None:
    forged: dict[str, str | list[str]] = {
        "X-Marketplace-Secret": "mks_x", "X-Marketplace-Signature": "v1=x"
    }  # fmt: skip
    headers = passed(forged, master=master).request_headers
    assert headers["X-Marketplace-Organisation"] == "O"
    assert not {"X-Marketplace-Secret", "X-Marketplace-Signature"} & set(headers)


def test_what_a_caller_claims_to_be_is_thrown_away() -> None:
    claims: dict[str, str | list[str]] = {
        "x-marketplace-organisation": ["victim", "victim"], "X-Marketplace-Scopes": "everything",
    }  # fmt: skip
    headers = passed(claims).request_headers
    assert headers["X-Marketplace-Organisation"] == "O"
    assert not {"x-marketplace-organisation", "X-Marketplace-Scopes"} & set(headers)


def test_a_request_that_nobody_made_is_not_introduced() -> None:
    exchange = Exchange(service_tags=[f"api:{API}", "epoch:1"], master=MASTER)
    assert exchange.run_access("post_access") is None
    assert exchange.request_headers == {}
