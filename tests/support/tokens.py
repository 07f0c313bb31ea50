"""Platform tokens that a service under test accepts, signed by a key made for this run."""

from __future__ import annotations

import time
import warnings
from typing import Any
from uuid import UUID

import httpx
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import KeySet, OKPKey

from common.http.tokens import AUDIENCE, TokenVerifier
from common.ids import new_id

ISSUER = "http://accounts.test"


class TokenMaker:
    """Signs tokens; `verifier` is what a service verifies them with (set `app.state.verifier`)."""

    def __init__(self) -> None:
        self._key = OKPKey.generate_key("Ed25519", {"kid": "test"})
        self.jwks: dict[str, Any] = dict(KeySet([self._key]).as_dict(private=False))

    @property
    def verifier(self) -> TokenVerifier:
        def answer(_: httpx.Request) -> httpx.Response:
            return httpx.Response(200, json=self.jwks)

        return TokenVerifier(
            jwks_url=f"{ISSUER}/.well-known/jwks.json", issuer=ISSUER, transport=httpx.MockTransport(answer)
        )

    def token(
        self, *, organisation_id: UUID | None = None, slug: str = "acme", role: str = "owner",
        platform_admin: bool = False, user_id: UUID | None = None, **claims: Any,
    ) -> str:  # fmt: skip
        body: dict[str, Any] = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": str(user_id or new_id()), "iat": int(time.time()),
            "exp": int(time.time()) + 900,
        }  # fmt: skip
        if organisation_id is not None:
            body |= {"org": str(organisation_id), "org_slug": slug, "role": role}
        if platform_admin:
            body["platform_role"] = "admin"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # of the name EdDSA; see common.http.tokens
            return jwt.encode({"alg": "EdDSA", "kid": "test"}, body | claims, self._key, algorithms=["EdDSA"])

    def headers(
        self, *, organisation_id: UUID | None = None, slug: str = "acme", role: str = "owner",
        platform_admin: bool = False, user_id: UUID | None = None, **claims: Any,
    ) -> dict[str, str]:  # fmt: skip
        token = self.token(
            organisation_id=organisation_id, slug=slug, role=role, platform_admin=platform_admin,
            user_id=user_id, **claims,
        )  # fmt: skip
        return {"Authorization": f"Bearer {token}"}
