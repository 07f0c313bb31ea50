"""The key that signs platform tokens, and the keys by which others check them."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import OKPKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# RFC 9864 renames it to "Ed25519"; the old name is the one that every verifier in use knows.
_ALGORITHM = "EdDSA"


class SigningKeyInvalid(Exception):
    """A configured key is not what it must be; says which, and nothing of its content."""


class Signer:
    """Signs claims with the present key; publishes it together with the retired ones."""

    def __init__(self, signing_key: str, *, retired: str = "") -> None:
        key = _ed25519(_parsed(signing_key, "ACCOUNTS_SIGNING_KEY"), "ACCOUNTS_SIGNING_KEY")
        if not key.is_private:
            raise SigningKeyInvalid(
                "ACCOUNTS_SIGNING_KEY has no private part; `accounts keygen` makes a whole key."
            )
        self._key, self._kid = key, key.kid or key.thumbprint()
        self.jwks = {"keys": [_public(key, self._kid), *_retired(retired)]}

    def sign(self, claims: Mapping[str, str | int]) -> str:
        """The claims as a compact JWS; its `kid` says which published key fits."""
        header = {"alg": _ALGORITHM, "typ": "JWT", "kid": self._kid}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)
            return jwt.encode(header, dict(claims), self._key, algorithms=[_ALGORITHM])


def generate_key() -> str:
    """A new private key as JSON, fit for ACCOUNTS_SIGNING_KEY."""
    return json.dumps(OKPKey.generate_key("Ed25519", auto_kid=True).as_dict(private=True))


def _parsed(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise SigningKeyInvalid(f"{name} is not JSON.") from None


def _ed25519(jwk: Any, name: str) -> OKPKey:
    try:
        key = OKPKey.import_key(jwk)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        raise SigningKeyInvalid(f"{name} is not an Ed25519 JWK.") from None
    if key.curve_name != "Ed25519":
        raise SigningKeyInvalid(f"{name} is not an Ed25519 JWK.")
    return key


def _public(key: OKPKey, kid: str) -> dict[str, str]:
    shown = {
        name: str(value) for name, value in key.as_dict(private=False).items() if name in ("kty", "crv", "x")
    }
    return {**shown, "kid": kid, "alg": _ALGORITHM, "use": "sig"}


def _retired(text: str) -> Sequence[dict[str, str]]:
    if not text.strip():
        return []
    parsed = _parsed(text, "ACCOUNTS_RETIRED_KEYS")
    keys = parsed.get("keys") if isinstance(parsed, dict) else parsed
    if not isinstance(keys, list):
        raise SigningKeyInvalid("ACCOUNTS_RETIRED_KEYS is neither a list of JWKs nor a JWK set.")
    found = [_ed25519(jwk, "ACCOUNTS_RETIRED_KEYS") for jwk in keys]
    if any(key.is_private for key in found):
        raise SigningKeyInvalid(
            "ACCOUNTS_RETIRED_KEYS holds a private key; a retired key keeps its public part only."
        )
    return [_public(key, key.kid or key.thumbprint()) for key in found]
