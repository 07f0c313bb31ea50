"""Tokens: who a user name stands for, and the JWTs that say so."""

import base64
import hashlib
import secrets
import uuid
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError

from devstack.oidc.keys import ALGORITHM, KeyRing

_SUBJECTS = uuid.uuid5(uuid.NAMESPACE_URL, "https://marketplace.invalid/development-users")
_CODE_SECONDS = 60
_REFRESH_SECONDS = 12 * 3600


@dataclass(frozen=True, slots=True)
class User:
    """A person as the issuer knows one: everything follows from the user name."""

    username: str

    @property
    def claims(self) -> dict[str, Any]:
        local_part = self.username.partition("@")[0]
        return {
            "sub": str(uuid.uuid5(_SUBJECTS, self.username)),
            "email": self.username if "@" in self.username else f"{self.username}@example.test",
            "email_verified": True,
            "name": " ".join(part.capitalize() for part in local_part.replace("_", ".").split(".")),
            "preferred_username": self.username,
        }


class TokenRefused(Exception):
    """The token is not one of ours, is of another kind, or has run out."""


class Tokens:
    """Issues and reads every kind of token. Codes and refresh tokens are JWTs too: a restart loses none."""

    def __init__(self, keys: KeyRing, *, issuer: str, client_id: str, lifetime_seconds: int) -> None:
        self._keys = keys
        self._issuer = issuer
        self._client_id = client_id
        self.lifetime_seconds = lifetime_seconds

    def grant(self, user: User, *, scope: str, nonce: str | None, now: int) -> dict[str, Any]:
        """The body of a successful token answer."""
        access = self._sign(
            {**user.claims, "azp": self._client_id, "scope": scope},
            kind="at+jwt", now=now, seconds=self.lifetime_seconds,
        )  # fmt: skip
        identity: dict[str, Any] = {
            **user.claims,
            "azp": self._client_id,
            "auth_time": now,
            "at_hash": _half_hash(access),
        }
        if nonce:
            identity["nonce"] = nonce
        refresh = {"preferred_username": user.username, "scope": scope}
        return {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": self.lifetime_seconds,
            "id_token": self._sign(identity, kind="JWT", now=now, seconds=self.lifetime_seconds),
            "refresh_token": self._sign(refresh, kind="refresh+jwt", now=now, seconds=_REFRESH_SECONDS),
            "refresh_expires_in": _REFRESH_SECONDS,
            "scope": scope,
        }

    def code(self, claims: dict[str, Any], *, now: int) -> str:
        return self._sign(claims, kind="code+jwt", now=now, seconds=_CODE_SECONDS)

    def read(self, token: str, *, kind: str, now: int) -> dict[str, Any]:
        """The claims of a token of this kind that we signed and that is still good; raises TokenRefused."""
        try:
            decoded = jwt.decode(token, self._keys.verification(), algorithms=[ALGORITHM])
        except (JoseError, ValueError) as error:
            raise TokenRefused("not a token of this issuer") from error
        if decoded.header.get("typ") != kind or decoded.claims.get("iss") != self._issuer:
            raise TokenRefused("a token of another kind")
        if int(decoded.claims["exp"]) <= now:
            raise TokenRefused("expired")
        return dict(decoded.claims)

    def _sign(self, claims: dict[str, Any], *, kind: str, now: int, seconds: int) -> str:
        key = self._keys.current
        times = {"iss": self._issuer, "aud": self._client_id, "iat": now, "exp": now + seconds}
        header = {"alg": ALGORITHM, "kid": key.kid, "typ": kind}
        return jwt.encode(header, {**claims, **times, "jti": secrets.token_hex(16)}, key)


def challenge_of(verifier: str) -> str:
    """The S256 code challenge that belongs to a verifier (RFC 7636)."""
    return _unpadded(hashlib.sha256(verifier.encode()).digest())


def _half_hash(token: str) -> str:
    return _unpadded(hashlib.sha256(token.encode()).digest()[:16])


def _unpadded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
