"""Platform tokens: short-lived JWTs (EdDSA) that accounts signs and every service verifies by its JWKS."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from common.errors import Unauthenticated, Unavailable
from common.log import get_logger

AUDIENCE = "marketplace"
_ALGORITHMS = ["EdDSA", "Ed25519"]
_REFRESH_SECONDS = 300.0
_MISS_SECONDS = 5.0
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

    They are fetched again every five minutes, and for an unknown `kid` at most every five seconds.
    """

    def __init__(
        self, *, jwks_url: str, issuer: str, transport: httpx.AsyncBaseTransport | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._url, self._issuer, self._transport, self._monotonic = jwks_url, issuer, transport, monotonic
        self._keys: KeySet | None = None
        self._fetched_at = self._tried_at = float("-inf")
        self._lock = asyncio.Lock()

    async def verify(self, token: str) -> Claims:
        """The claims of `token`; Unauthenticated when it does not hold, Unavailable when no key could ever be had."""
        await self._refresh(_REFRESH_SECONDS)
        try:
            return self._decode(token)
        except (JoseError, ValueError, KeyError, TypeError) as first:
            if not isinstance(first, ValueError) or not await self._refresh(_MISS_SECONDS):
                raise self._refusal(first) from first
        try:
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
        claims = jwt.decode(token, self._keys, algorithms=_ALGORITHMS).claims
        jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": AUDIENCE},
            exp={"essential": True},
            sub={"essential": True},
        ).validate(claims)
        return _claims(claims)

    async def _refresh(self, seconds: float) -> bool:
        """Fetch the keys when they are older than `seconds`; True when new ones came."""
        if self._monotonic() - max(self._fetched_at, self._tried_at) < (
            _MISS_SECONDS if self._keys is None else seconds
        ):
            return False
        async with self._lock:
            if self._monotonic() - self._tried_at < min(seconds, _MISS_SECONDS) and self._keys is not None:
                return False
            self._tried_at = self._monotonic()
            try:
                async with httpx.AsyncClient(transport=self._transport, timeout=3.0) as client:
                    response = await client.get(self._url)
                    response.raise_for_status()
                    self._keys = KeySet.import_key_set(response.json())
            except (httpx.HTTPError, ValueError, KeyError) as error:
                log.warning("jwks.fetch_failed", url=self._url, error=str(error))
                if self._keys is None:
                    self._tried_at = float("-inf")
                return False
            self._fetched_at = self._monotonic()
            return True


def _claims(claims: dict[str, Any]) -> Claims:
    organisation = claims.get("org")
    return Claims(
        user_id=UUID(claims["sub"]),
        organisation_id=UUID(organisation) if organisation else None,
        organisation_slug=claims.get("org_slug"),
        role=claims.get("role"),
        platform_admin=claims.get("platform_role") == "admin",
    )
