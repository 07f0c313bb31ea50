"""The stack's own secrets: made once, kept for the owner's eyes only."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from joserfc.jwk import OKPKey

from devstack.stack.layout import Layout, read_json, write_json


def _signing_key() -> dict[str, Any]:
    key = OKPKey.generate_key("Ed25519", {"kid": secrets.token_hex(4), "alg": "EdDSA", "use": "sig"})
    return dict(key.as_dict(private=True))


_MAKERS: dict[str, Callable[[], Any]] = {
    "postgres": lambda: secrets.token_urlsafe(24),
    "database_roles": lambda: secrets.token_hex(16),
    "ingest_token": lambda: secrets.token_urlsafe(32),
    "upstream_master": lambda: secrets.token_urlsafe(32),
    "stripe_secret_key": lambda: f"sk_test_{secrets.token_hex(16)}",
    "stripe_publishable_key": lambda: f"pk_test_{secrets.token_hex(16)}",
    "stripe_webhook_secret": lambda: f"whsec_{secrets.token_hex(16)}",
    "accounts_signing_key": _signing_key,
}


def load(layout: Layout) -> dict[str, Any]:
    """The secrets of this checkout's stack; those that are missing are made and kept."""
    found = read_json(layout.secrets_file) or {}
    missing = {name: make() for name, make in _MAKERS.items() if name not in found}
    if missing:
        found |= missing
        write_json(layout.secrets_file, found)
    return found
