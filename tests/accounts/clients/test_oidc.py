from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
import stamina
from joserfc.jwk import ECKey, OctKey, RSAKey

from accounts.clients.issuer_keys import IssuerKeys
from accounts.clients.oidc import OidcVerifier
from accounts.domain.errors import IdentityProviderUnavailable, InvalidSubjectToken
from tests.accounts.issuer import ISSUER, Issuer, signed
from tests.support.clock import NOON


class Seconds:
    """A monotonic clock that moves when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def oidc(issuer: Issuer, seconds: Seconds) -> OidcVerifier:
    keys = IssuerKeys(issuer=ISSUER, transport=issuer.transport, monotonic=seconds)
    return OidcVerifier(keys=keys, issuer=ISSUER, audience="marketplace")


@pytest.fixture(autouse=True)
def _no_waiting() -> Any:
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


async def test_a_token_says_who_it_is_about(oidc: OidcVerifier, issuer: Issuer) -> None:
    known = await oidc.verify(issuer.token("ada"), now=NOON)
    assert (known.issuer, known.subject, known.email, known.email_verified, known.name) == (
        ISSUER,
        "subject-of-ada",
        "ada@example.test",
        True,
        "Ada",
    )


async def test_an_address_counts_as_verified_only_when_the_issuer_says_true(
    oidc: OidcVerifier, issuer: Issuer
) -> None:
    for said in (False, "true", 1, None):
        known = await oidc.verify(issuer.token(email_verified=said), now=NOON)
        assert known.email_verified is False


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"iss": "https://evil.test"}, "iss"),
        ({"aud": "another-client"}, "aud"),
        ({"aud": None}, "aud"),
        ({"exp": None}, "exp"),
        ({"exp": int(NOON.timestamp()) - 60}, "expired"),
        ({"nbf": int(NOON.timestamp()) + 60}, "nbf"),
        ({"sub": None}, "sub"),
        ({"sub": ""}, "sub"),
        ({"sub": "x" * 256}, "subject"),
        ({"typ": "Refresh"}, "neither"),
        ({"typ": "Logout"}, "neither"),
    ],
)
async def test_a_token_that_is_not_for_us_or_not_for_now_is_refused(
    oidc: OidcVerifier, issuer: Issuer, claims: dict[str, Any], why: str
) -> None:
    with pytest.raises(InvalidSubjectToken, match=why):
        await oidc.verify(issuer.token(**claims), now=NOON)


@pytest.mark.parametrize("typ", ["refresh+jwt", "code+jwt", "logout+jwt"])
async def test_other_kinds_of_token_by_the_same_key_are_refused(
    oidc: OidcVerifier, issuer: Issuer, typ: str
) -> None:
    with pytest.raises(InvalidSubjectToken, match="neither"):
        await oidc.verify(issuer.token(header={"typ": typ}), now=NOON)


async def test_access_tokens_are_taken_too(oidc: OidcVerifier, issuer: Issuer) -> None:
    token = issuer.token(header={"typ": "at+jwt"}, aud=["account", "marketplace"], typ="Bearer")
    assert (await oidc.verify(token, now=NOON)).subject == "subject-of-ada"


async def test_symmetric_and_missing_signatures_are_refused(oidc: OidcVerifier, issuer: Issuer) -> None:
    public_pem = issuer.keys[-1].as_pem(private=False)
    claims = {"iss": ISSUER, "aud": "marketplace", "sub": "eve", "exp": int(NOON.timestamp()) + 60}
    confused = signed({"alg": "HS256", "kid": "1"}, claims, OctKey.import_key(public_pem.hex()))
    _, body, signature = issuer.token().split(".")
    unsigned = "eyJhbGciOiJub25lIiwia2lkIjoiMSJ9." + body + "."
    for token in (confused, unsigned, "eyJhbGciOiJub25lIn0." + body + "." + signature):
        with pytest.raises(InvalidSubjectToken, match="algorithm"):
            await oidc.verify(token, now=NOON)


async def test_a_token_by_a_stranger_who_uses_our_issuers_key_id_is_refused(
    oidc: OidcVerifier, issuer: Issuer
) -> None:
    claims = {"iss": ISSUER, "aud": "marketplace", "sub": "eve", "exp": int(NOON.timestamp()) + 60}
    stranger = signed({"alg": "RS256", "kid": "1"}, claims, RSAKey.generate_key(2048))
    other_kind = signed({"alg": "ES256", "kid": "1"}, claims, ECKey.generate_key("P-256"))
    for token in (stranger, other_kind):
        with pytest.raises(InvalidSubjectToken, match="signature"):
            await oidc.verify(token, now=NOON)


@pytest.mark.parametrize(
    "token", ["x", "a.b", "....", "eyJ.e30.e30", "mk_live_abc", "x" * 20_000, "W10.e30.x"]
)
async def test_what_is_no_jwt_is_refused_without_asking_the_issuer(
    oidc: OidcVerifier, issuer: Issuer, token: str
) -> None:
    with pytest.raises(InvalidSubjectToken):
        await oidc.verify(token, now=NOON)
    assert issuer.requests == []


async def test_keys_are_fetched_once_and_a_rotated_key_is_found_at_once(
    oidc: OidcVerifier, issuer: Issuer, seconds: Seconds
) -> None:
    old = issuer.token()
    for _ in range(3):
        await oidc.verify(old, now=NOON)
    assert len(issuer.requests) == 2  # the metadata and the keys
    issuer.rotate()
    seconds.now += 2
    await oidc.verify(issuer.token(), now=NOON)
    assert len(issuer.requests) == 4
    with pytest.raises(InvalidSubjectToken, match="does not publish"):
        await oidc.verify(old, now=NOON)


async def test_made_up_key_ids_do_not_make_us_hammer_the_issuer(
    oidc: OidcVerifier, issuer: Issuer, seconds: Seconds
) -> None:
    await oidc.verify(issuer.token(), now=NOON)
    seconds.now += 2
    for number in range(50):
        with pytest.raises(InvalidSubjectToken, match="does not publish"):
            await oidc.verify(issuer.token(header={"kid": f"made-up-{number}"}), now=NOON)
    assert len(issuer.requests) == 4


def refused(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused")


def timed_out(_: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("no answer")


def torn(_: httpx.Request) -> httpx.Response:
    raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")


def no_json(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, text="<html>bad gateway</html>")


def a_list(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json=[])


def too_large(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=b" " * 300_000)


def another_issuer(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"issuer": "https://evil.test", "jwks_uri": "https://evil.test/jwks"})


def without_keys(request: httpx.Request) -> httpx.Response:
    metadata = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"}
    symmetric = {"keys": [{"kty": "oct", "kid": "1", "k": "c2VjcmV0"}, {"kty": "RSA", "kid": "1"}, 7]}
    return httpx.Response(200, json=metadata if "well-known" in request.url.path else symmetric)


FAILURES = [
    refused, timed_out, torn, no_json, a_list, too_large, another_issuer, without_keys,
    lambda _: httpx.Response(500), lambda _: httpx.Response(404), lambda _: httpx.Response(301),
]  # fmt: skip


@pytest.mark.parametrize("fail", FAILURES)
async def test_an_issuer_that_never_gave_its_keys_is_unavailable(
    oidc: OidcVerifier, issuer: Issuer, fail: Any
) -> None:
    issuer.fail = fail
    with pytest.raises(IdentityProviderUnavailable):
        await oidc.verify(issuer.token(), now=NOON)


@pytest.mark.parametrize("fail", FAILURES)
async def test_an_issuer_that_fails_later_takes_nothing_away_for_a_day(
    oidc: OidcVerifier, issuer: Issuer, seconds: Seconds, fail: Any
) -> None:
    await oidc.verify(issuer.token(), now=NOON)
    issuer.fail = fail
    seconds.now += 3600
    await oidc.verify(issuer.token(), now=NOON)
    seconds.now += 86_400
    with pytest.raises(IdentityProviderUnavailable):
        await oidc.verify(issuer.token(), now=NOON)


async def test_a_new_key_while_the_issuer_is_away_is_unavailable_not_refused(
    oidc: OidcVerifier, issuer: Issuer, seconds: Seconds
) -> None:
    await oidc.verify(issuer.token(), now=NOON)
    issuer.rotate()
    issuer.fail = refused
    seconds.now += 2
    with pytest.raises(IdentityProviderUnavailable):
        await oidc.verify(issuer.token(), now=NOON)


async def test_a_dead_issuer_is_asked_less_and_less_and_taken_back_when_it_answers(
    oidc: OidcVerifier, issuer: Issuer, seconds: Seconds
) -> None:
    issuer.fail = refused
    for _ in range(20):
        seconds.now += 1.1
        with pytest.raises(IdentityProviderUnavailable):
            await oidc.verify(issuer.token(), now=NOON)
    assert len(issuer.requests) < 3 * 20 / 2
    issuer.fail = None
    seconds.now += 11
    assert (await oidc.verify(issuer.token(), now=NOON)).subject == "subject-of-ada"


async def test_a_token_is_good_until_shortly_after_its_end(oidc: OidcVerifier, issuer: Issuer) -> None:
    token = issuer.token()
    await oidc.verify(token, now=NOON + timedelta(seconds=305))
    with pytest.raises(InvalidSubjectToken, match="expired"):
        await oidc.verify(token, now=NOON + timedelta(seconds=311))
