"""An OIDC issuer at the edge of the tests: signs what it is told to, and fails when it is told to."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import KeySet, RSAKey

from tests.support.clock import NOON

ISSUER = "https://id.example.test/realms/marketplace"
Answer = Callable[[httpx.Request], httpx.Response]


class Issuer:
    """The key ids are "1", "2", …; `rotate` makes the next one the only one published."""

    def __init__(self) -> None:
        self.keys = [RSAKey.generate_key(2048, {"kid": "1", "use": "sig"})]
        self.requests: list[str] = []
        self.fail: Answer | None = None

    def rotate(self) -> None:
        number = len(self.keys) + 1
        self.keys.append(RSAKey.generate_key(2048, {"kid": str(number), "use": "sig"}))

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request.url.path)
        if self.fail is not None:
            return self.fail(request)
        if request.url.path.endswith("/openid-configuration"):
            return httpx.Response(200, json={"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"})
        return httpx.Response(200, json=KeySet([self.keys[-1]]).as_dict(private=False))

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.answer)

    def token(
        self,
        username: str = "ada",
        *,
        now: datetime = NOON,
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """An ID token good for five minutes; a claim of None is left out."""
        body: dict[str, Any] = {
            "iss": ISSUER,
            "sub": f"subject-of-{username}",
            "aud": "marketplace",
            "iat": int(now.timestamp()),
            "exp": int(now.timestamp()) + 300,
            "email": f"{username}@example.test",
            "email_verified": True,
            "name": username.capitalize(),
        } | claims
        key = self.keys[-1]
        said = {name: value for name, value in body.items() if value is not None}
        return signed({"alg": "RS256", "kid": key.kid, "typ": "JWT"} | (header or {}), said, key)


def signed(header: dict[str, Any], claims: dict[str, Any], key: Any) -> str:
    """A JWT by any algorithm, also those that nobody should take."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        return jwt.encode(header, claims, key, algorithms=[header["alg"]])
