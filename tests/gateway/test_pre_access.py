"""The key becomes its digest before key-auth looks; what cannot be a key is refused before any look-up."""

from __future__ import annotations

import hashlib

import pytest

from tests.gateway.keys import a_key
from tests.gateway.pdk import Exchange

KEY = a_key()
DIGEST = hashlib.sha256(KEY.encode()).hexdigest()


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": KEY},
        {"apikey": KEY},
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer  {KEY} "},
    ],
)
def test_a_key_in_any_of_its_places_becomes_one_digest(headers: dict[str, str | list[str]]) -> None:
    exchange = Exchange(request_headers={**headers, "Accept": "*/*"})
    assert exchange.run_access() is None
    assert exchange.request_headers == {"Accept": "*/*", "x-api-key": DIGEST}
    assert exchange.shared.marketplace_key_presented is True


def test_a_test_key_is_a_key() -> None:
    exchange = Exchange(request_headers={"X-API-Key": a_key(prefix="mk_test_")})
    assert exchange.run_access() is None


@pytest.mark.parametrize("first_digit", ["0", "1"])
def test_the_checksum_keeps_its_leading_zeros(first_digit: str) -> None:
    key = next(key for n in range(10_000) if (key := a_key(str(n).zfill(43)))[51] == first_digit)
    assert Exchange(request_headers={"X-API-Key": key}).run_access() is None


def test_without_a_key_the_request_goes_on_to_key_auth() -> None:
    exchange = Exchange(request_headers={"Origin": "https://app.example"})
    assert exchange.run_access() is None
    assert exchange.request_headers == {"Origin": "https://app.example"}
    assert exchange.shared.marketplace_key_presented is None


def test_an_authorization_of_the_providers_own_scheme_is_left_alone() -> None:
    exchange = Exchange(request_headers={"Authorization": "Bearer eyJhbGciOi", "X-API-Key": KEY})
    assert exchange.run_access() is None
    assert exchange.request_headers["Authorization"] == "Bearer eyJhbGciOi"


@pytest.mark.parametrize(
    "presented",
    [
        DIGEST,
        DIGEST.upper(),
        KEY[:-1] + ("0" if KEY[-1] != "0" else "1"),
        KEY + "A",
        KEY[:-1],
        "mk_" + "x" * 54,
        KEY.replace("mk_live_", "mk_prod_"),
        "a" * 100_000,
        KEY[:20] + "\x00" + KEY[21:],
        KEY[:20] + "\xff" + KEY[21:],
        KEY[:20] + "-" + KEY[21:],
        "' OR 1=1 --",
    ],
)
def test_what_is_not_a_key_is_refused_before_any_look_up(presented: str) -> None:
    exchange = Exchange(request_headers={"X-API-Key": presented})
    assert exchange.run_access() is not None
    assert exchange.request_headers == {}
    problem = exchange.problem()
    assert (problem["status"], problem["code"]) == (401, "INVALID_API_KEY")
    assert presented not in str(problem)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": [KEY, KEY]},
        {"apikey": [KEY, "x"]},
        {"X-API-Key": KEY, "apikey": KEY},
        {"X-API-Key": KEY, "Authorization": f"Bearer {KEY}"},
        {"Authorization": ["Basic abc", f"Bearer {KEY}"], "apikey": KEY},
    ],
)
def test_more_than_one_key_is_refused(headers: dict[str, str | list[str]]) -> None:
    exchange = Exchange(request_headers=headers)
    assert exchange.run_access() is not None
    assert exchange.request_headers == {}
    assert exchange.problem()["code"] == "INVALID_API_KEY"


def test_headers_that_only_the_gateway_may_set_are_cleared() -> None:
    exchange = Exchange(
        request_headers={"X-API-Key": KEY, "X-Consumer-Groups": "admin", "X-Authenticated-Groups": "a"}
    )
    assert exchange.run_access() is None
    assert exchange.request_headers == {"x-api-key": DIGEST}
