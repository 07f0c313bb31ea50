"""The public keys of the OIDC issuer: fetched asynchronously, kept, and fetched again when they rotate."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import httpx
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from accounts.domain.errors import IdentityProviderUnavailable
from accounts.metrics import ISSUER_KEY_FETCHES
from common.breaker import Breaker, CircuitOpen
from common.log import get_logger
from common.retry import retrying

if TYPE_CHECKING:
    from collections.abc import Callable

PublicKey = RSAKey | ECKey | OKPKey
_KINDS: dict[str, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
_REFRESH_SECONDS = 600.0
_MISS_SECONDS = 1.0  # unknown key ids, which anybody can send, cause at most one fetch in this time
_STALE_SECONDS = 86_400.0
_LARGEST_BYTES = 256 * 1024
log = get_logger()


class _FetchFailed(Exception):
    """The issuer did not give its keys this time."""


class IssuerKeys:
    """The issuer's keys by their id. With the issuer away, known keys serve for a day more."""

    def __init__(
        self, *, issuer: str, discovery_url: str | None = None, timeout_seconds: float = 3.0,
        transport: httpx.AsyncBaseTransport | None = None, monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._issuer = issuer
        self._discovery_url = discovery_url or f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        self._timeout, self._transport, self._monotonic = timeout_seconds, transport, monotonic
        self._keys: dict[str, PublicKey] = {}
        self._fetched_at = self._tried_at = float("-inf")
        self._lock = asyncio.Lock()
        self._breaker = Breaker(failures=5, reset_seconds=10.0, monotonic=monotonic)

    async def find(self, kid: str) -> PublicKey | None:
        """The key with this id, None when the issuer has none; IdentityProviderUnavailable when nobody can say."""
        if kid in self._keys and self._age() < _REFRESH_SECONDS:
            return self._keys[kid]
        reached = await self._refresh(kid)
        if kid in self._keys and self._age() < _STALE_SECONDS:
            return self._keys[kid]
        if not reached:
            raise IdentityProviderUnavailable
        return None

    def _age(self) -> float:
        return self._monotonic() - self._fetched_at

    async def _refresh(self, kid: str) -> bool:
        """False when the issuer was asked, now or a moment ago, and gave no answer."""
        async with self._lock:
            if self._monotonic() - self._tried_at < _MISS_SECONDS or (
                kid in self._keys and self._age() < _MISS_SECONDS
            ):
                return self._fetched_at >= self._tried_at
            self._tried_at = self._monotonic()
            try:
                with self._breaker.guard(on=_FetchFailed):
                    async for attempt in retrying(on=_FetchFailed, attempts=3, seconds=5.0):
                        with attempt:
                            self._keys = await self._fetch()
            except (_FetchFailed, CircuitOpen) as error:
                ISSUER_KEY_FETCHES.labels("failed").inc()
                log.warning("issuer_keys.fetch_failed", issuer=self._issuer, error=str(error))
                return False
            self._fetched_at = self._tried_at = self._monotonic()
            ISSUER_KEY_FETCHES.labels("ok").inc()
            return True

    async def _fetch(self) -> dict[str, PublicKey]:
        try:
            async with httpx.AsyncClient(transport=self._transport, timeout=self._timeout) as client:
                metadata = await _get_json(client, self._discovery_url)
                if metadata.get("issuer") != self._issuer:
                    raise _FetchFailed(f"the metadata at {self._discovery_url} is of another issuer")
                document = await _get_json(client, str(metadata.get("jwks_uri")))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _FetchFailed(f"{type(error).__name__} {error}") from error
        return _signing_keys(document)


async def _get_json(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    body = bytearray()
    async with client.stream("GET", url) as response:
        response.raise_for_status()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > _LARGEST_BYTES:
                raise _FetchFailed(f"the answer of {url} is too large")
    try:
        found = json.loads(body)
    except ValueError as error:
        raise _FetchFailed(f"the answer of {url} is not JSON") from error
    if not isinstance(found, dict):
        raise _FetchFailed(f"the answer of {url} is not an object")
    return found


def _signing_keys(document: dict[str, Any]) -> dict[str, PublicKey]:
    """The set's asymmetric signing keys; others (encryption, symmetric, unknown kinds) are passed over."""
    listed = document.get("keys")
    keys: dict[str, PublicKey] = {}
    for jwk in listed if isinstance(listed, list) else []:
        kind = _KINDS.get(jwk.get("kty", "")) if isinstance(jwk, dict) else None
        if kind is None or not isinstance(jwk.get("kid"), str) or jwk.get("use", "sig") != "sig":
            continue
        try:
            keys[jwk["kid"]] = kind.import_key(jwk)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            log.warning("issuer_keys.key_skipped", kid=jwk["kid"], error=type(error).__name__)
    if not keys:
        raise _FetchFailed("the issuer's key set holds no signing key")
    return keys
