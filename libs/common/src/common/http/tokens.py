"""Platform tokens: short-lived JWTs (EdDSA) that accounts signs and every service verifies by its JWKS."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError, SecurityWarning
from joserfc.jwk import KeySet

from common.errors import Unauthenticated, Unavailable
from common.log import get_logger

AUDIENCE = "marketplace"
# RFC 9864 renames EdDSA to Ed25519; the old name is the one that most libraries know, so both are accepted.
_ALGORITHMS = ["EdDSA", "Ed25519"]
_REFRESH_SECONDS = 300.0
_MISS_SECONDS = 5.0
_FIRST_SECONDS = 0.5
_LEEWAY_SECONDS = 10
log = get_logger()


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says."""

    user_id: UUID
    organisation_id: UUID | None
    organisation_slug: str | None
    role: str | None
    platform_admin: bool


class TokenVerifier:
    """Verifies platform tokens. The keys are cached, so that accounts may be away for as long as tokens live.

    They are fetched again every five minutes, for an unknown `kid` at most every five seconds, and while there is none
    at most twice a second.
    """

    def __init__(
        self, *, jwks_url: str, issuer: str, transport: httpx.AsyncBaseTransport | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._url, self._issuer, self._transport, self._monotonic = jwks_url, issuer, transport, monotonic
        self._keys: KeySet | None = None
        self._tried_at = float("-inf")
        self._lock = asyncio.Lock()

    async def verify(self, token: str) -> Claims:
        """The claims of `token`; Unauthenticated when it does not hold, Unavailable when no key could ever be had."""
        if self._keys is None or self._due(_REFRESH_SECONDS):
            await self._newer_keys(_REFRESH_SECONDS)
        try:
            try:
                return self._decode(token)
            except InvalidKeyIdError:
                if not await self._newer_keys(_MISS_SECONDS):
                    raise
                return self._decode(token)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise self._refusal(error) from error

    @staticmethod
    def _refusal(error: Exception) -> Unauthenticated:
        expired = type(error).__name__ == "ExpiredTokenError"
        return Unauthenticated(
            "This token has expired: ask accounts for a new one." if expired else "This token does not hold."
        )

    def _decode(self, token: str) -> Claims:
        if self._keys is None:
            raise Unavailable("The keys that sign tokens cannot be fetched from accounts at the moment.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)
            claims = jwt.decode(token, self._keys, algorithms=_ALGORITHMS).claims
        jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": AUDIENCE},
            exp={"essential": True},
            sub={"essential": True},
        ).validate(claims)
        return _claims(claims)

    async def _newer_keys(self, seconds: float) -> bool:
        """True when there are other keys than at the call: one caller fetches, when the last try is `seconds` ago."""
        before = self._keys
        async with self._lock:
            if self._keys is before and self._due(seconds):
                self._tried_at = self._monotonic()
                await self._fetch()
        return self._keys is not before

    async def _fetch(self) -> None:
        try:
            async with httpx.AsyncClient(transport=self._transport, timeout=3.0) as client:
                response = await client.get(self._url)
                response.raise_for_status()
                self._keys = KeySet.import_key_set(response.json())
        except (httpx.HTTPError, JoseError, ValueError, KeyError, TypeError) as error:
            log.warning("jwks.fetch_failed", url=self._url, error=str(error))

    def _due(self, seconds: float) -> bool:
        return self._monotonic() - self._tried_at >= (_FIRST_SECONDS if self._keys is None else seconds)


def _claims(claims: dict[str, Any]) -> Claims:
    organisation = claims.get("org")
    return Claims(
        user_id=UUID(claims["sub"]),
        organisation_id=UUID(organisation) if organisation else None,
        organisation_slug=claims.get("org_slug"),
        role=claims.get("role"),
        platform_admin=claims.get("platform_role") == "admin",
    )
