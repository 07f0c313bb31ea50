"""OIDC tokens: what a token of our issuer says of a person, once it is verified."""

from __future__ import annotations

import base64
import binascii
import json
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError, SecurityWarning

from accounts.domain.errors import InvalidSubjectToken
from accounts.domain.user import Identity

if TYPE_CHECKING:
    from datetime import datetime

    from accounts.clients.issuer_keys import IssuerKeys

# Asymmetric only: with a symmetric one, whoever knows the public key could sign.
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
# Issuers sign refresh tokens, codes and logout tokens with the same key; only these two kinds name a caller.
_HEADER_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
_CLAIM_TYPES = frozenset({"bearer", "id"})
_LEEWAY_SECONDS = 10
_LONGEST_TOKEN = 16_384


@dataclass(frozen=True, slots=True)
class OidcVerifier:
    """Verifies ID tokens and access tokens of one issuer, made for one audience."""

    keys: IssuerKeys
    issuer: str
    audience: str

    async def verify(self, token: str, *, now: datetime) -> Identity:
        """Who the token is about; InvalidSubjectToken when it does not hold, at `now`, for us."""
        header = _header(token)
        key = await self.keys.find(header["kid"])
        if key is None:
            raise InvalidSubjectToken("it is signed by a key that the issuer does not publish")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)
            try:
                claims = jwt.decode(token, key, algorithms=list(ALGORITHMS)).claims
                self._registry(now).validate(claims)
            except ExpiredTokenError as error:
                raise InvalidSubjectToken("it has expired") from error
            except (JoseError, ValueError, TypeError, KeyError) as error:
                raise InvalidSubjectToken(_reason(error)) from error
        return _identity(claims, issuer=self.issuer)

    def _registry(self, now: datetime) -> jwt.JWTClaimsRegistry:
        return jwt.JWTClaimsRegistry(
            now=int(now.timestamp()),
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self.audience},
            exp={"essential": True},
            sub={"essential": True},
        )


def _reason(error: Exception) -> str:
    claim = getattr(error, "claim", None)
    return f"its claim {claim} does not fit" if claim else "its signature does not hold"


def _header(token: str) -> dict[str, Any]:
    """The token's header, of a kind and an algorithm that we take; nothing in it is trusted beyond that."""
    if len(token) > _LONGEST_TOKEN:
        raise InvalidSubjectToken("it is too long")
    encoded = token.partition(".")[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (binascii.Error, ValueError):
        header = None
    if not isinstance(header, dict) or token.count(".") != 2:
        raise InvalidSubjectToken("it is not a JWT")
    if header.get("alg") not in ALGORITHMS:
        raise InvalidSubjectToken("its algorithm is not allowed")
    if str(header.get("typ", "JWT")).lower() not in _HEADER_TYPES:
        raise InvalidSubjectToken("it is neither an ID token nor an access token")
    if not isinstance(header.get("kid"), str):
        raise InvalidSubjectToken("it names no key")
    return header


def _identity(claims: dict[str, Any], *, issuer: str) -> Identity:
    subject, email, name = claims["sub"], claims.get("email"), claims.get("name")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise InvalidSubjectToken("its subject is not a text of 1 to 255 characters")
    if str(claims.get("typ", "ID")).lower() not in _CLAIM_TYPES:
        raise InvalidSubjectToken("it is neither an ID token nor an access token")
    return Identity(
        issuer=issuer,
        subject=subject,
        email=email if isinstance(email, str) and email else None,
        email_verified=claims.get("email_verified") is True,
        name=name if isinstance(name, str) and name else None,
    )
