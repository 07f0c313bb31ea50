"""Platform tokens: which hold, and how the signing keys are had."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
import warnings
from typing import Any
from uuid import UUID

import httpx
import pytest
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import OKPKey

from common.errors import Unauthenticated, Unavailable
from common.http.tokens import AUDIENCE, TokenVerifier
from tests.support.tokens import ISSUER, TokenMaker

USER, ORGANISATION = UUID(int=1), UUID(int=2)
LEEWAY = 11


class Accounts:
    """Publishes keys, counts who asks, and may be away."""

    def __init__(self, *keys: OKPKey) -> None:
        self.keys, self.away, self.asked, self.seconds = list(keys), False, 0, 0.0

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        await asyncio.sleep(0.01)
        if self.away:
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(200, json={"keys": [key.as_dict(private=False) for key in self.keys]})

    def verifier(self) -> TokenVerifier:
        return TokenVerifier(
            jwks_url=f"{ISSUER}/jwks", issuer=ISSUER, transport=httpx.MockTransport(self.answer),
            monotonic=lambda: self.seconds,
        )  # fmt: skip


def a_key(kid: str = "test") -> OKPKey:
    return OKPKey.generate_key("Ed25519", {"kid": kid})


def signed(key: OKPKey, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
    body = {"iss": ISSUER, "aud": AUDIENCE, "sub": str(USER), "exp": int(time.time()) + 900} | claims
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        return jwt.encode(
            header or {"alg": "EdDSA", "kid": key.kid}, {k: v for k, v in body.items() if v is not None}, key,
            algorithms=["EdDSA", "Ed25519"],
        )  # fmt: skip


def encoded(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def unsigned(algorithm: str, secret: bytes | None = None) -> str:
    """A forged token: without a signature, or signed with `secret`."""
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": str(USER), "exp": int(time.time()) + 900}
    text = f"{encoded({'alg': algorithm, 'kid': 'test'})}.{encoded(claims)}"
    signature = hmac.new(secret, text.encode(), hashlib.sha256).digest() if secret else b""
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


async def test_a_sound_token_says_who_acts_for_whom() -> None:
    maker = TokenMaker()
    token = maker.token(user_id=USER, organisation_id=ORGANISATION, slug="acme", role="billing")
    claims = await maker.verifier.verify(token)
    found = (claims.user_id, claims.organisation_id, claims.organisation_slug, claims.role)
    assert found == (USER, ORGANISATION, "acme", "billing")
    assert not claims.platform_admin


@pytest.mark.parametrize("algorithm", ["EdDSA", "Ed25519"])
async def test_both_names_of_the_algorithm_are_taken(algorithm: str) -> None:
    key = a_key()
    token = signed(key, header={"alg": algorithm, "kid": "test"})
    assert (await Accounts(key).verifier().verify(token)).user_id == USER


KEY = a_key()
REFUSED = {
    "garbage": "garbage",
    "three parts of garbage": "a.b.c",
    "not ascii": "é.é.é",
    "empty header": f"{encoded({})}.{encoded({})}.",
    "expired": signed(KEY, exp=int(time.time()) - LEEWAY),
    "never expires": signed(KEY, exp=None),
    "wrong issuer": signed(KEY, iss="http://elsewhere.test"),
    "no issuer": signed(KEY, iss=None),
    "wrong audience": signed(KEY, aud="another"),
    "no audience": signed(KEY, aud=None),
    "no subject": signed(KEY, sub=None),
    "subject is not an id": signed(KEY, sub="root"),
    "organisation is not an id": signed(KEY, org="acme"),
    "not yet valid": signed(KEY, nbf=int(time.time()) + 3600),
    "alg none": unsigned("none"),
    "HS256 with the public key": unsigned("HS256", KEY.as_bytes(private=False)),
    "HS256 with the raw public key": unsigned("HS256", KEY.public_key.public_bytes_raw()),
    "unknown kid": signed(a_key("unknown")),
    "another key under our kid": signed(a_key("test")),
    "changed afterwards": signed(KEY)[:-10] + "AAAAAAAAAA",
}


@pytest.mark.parametrize("token", REFUSED.values(), ids=REFUSED.keys())
async def test_a_token_that_does_not_hold_is_refused(token: str) -> None:
    with pytest.raises(Unauthenticated):
        await Accounts(KEY).verifier().verify(token)


async def test_an_expired_token_is_told_apart() -> None:
    with pytest.raises(Unauthenticated, match="expired"):
        await Accounts(KEY).verifier().verify(REFUSED["expired"])


async def test_verification_goes_on_while_accounts_is_away() -> None:
    accounts = Accounts(KEY)
    verifier = accounts.verifier()
    await verifier.verify(signed(KEY))
    accounts.away = True
    for _ in range(5):
        accounts.seconds += 3600
        assert (await verifier.verify(signed(KEY))).user_id == USER


async def test_keys_are_fetched_once_for_many_callers() -> None:
    accounts = Accounts(KEY)
    verifier = accounts.verifier()
    await asyncio.gather(*(verifier.verify(signed(KEY)) for _ in range(20)))
    accounts.seconds += 299
    await verifier.verify(signed(KEY))
    assert accounts.asked == 1


async def test_without_any_key_the_answer_is_try_again_and_not_refused() -> None:
    accounts = Accounts(KEY)
    accounts.away = True
    verifier = accounts.verifier()
    found = await asyncio.gather(*(verifier.verify(signed(KEY)) for _ in range(20)), return_exceptions=True)
    assert {type(error) for error in found} == {Unavailable}
    assert accounts.asked == 1  # callers do not queue up behind each other's time-outs
    accounts.away, accounts.seconds = False, accounts.seconds + 1
    assert (await verifier.verify(signed(KEY))).user_id == USER


async def test_an_answer_that_is_no_key_set_is_try_again() -> None:
    for body in (b"<html>", b"[]", b"{}", b'{"keys": []}', b'{"keys": [{"kty": "OKP"}]}'):
        transport = httpx.MockTransport(lambda _, body=body: httpx.Response(200, content=body))
        with pytest.raises(Unavailable):
            await TokenVerifier(jwks_url="http://x.test", issuer=ISSUER, transport=transport).verify(
                signed(KEY)
            )


async def test_a_token_of_a_new_key_is_taken_by_all_who_come_with_it() -> None:
    old, new = a_key("old"), a_key("new")
    accounts = Accounts(old)
    verifier = accounts.verifier()
    await verifier.verify(signed(old))
    accounts.keys, accounts.seconds = [new, old], accounts.seconds + 10
    found = await asyncio.gather(*(verifier.verify(signed(key)) for key in (new, new, old, new)))
    assert [claims.user_id for claims in found] == [USER] * 4
    assert accounts.asked == 2


async def test_unknown_kids_do_not_hammer_accounts() -> None:
    accounts = Accounts(KEY)
    verifier = accounts.verifier()
    await verifier.verify(signed(KEY))
    accounts.seconds += 10
    for _ in range(20):
        with pytest.raises(Unauthenticated):
            await verifier.verify(signed(a_key("unknown")))
    assert accounts.asked == 2
