"""make_env.py and the realm file: secrets made on the spot, none in the repository."""

from __future__ import annotations

import base64
import importlib.util
import json
import re
import subprocess
import sys
from types import ModuleType

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.clients.signing import Signer
from tests.deploy.facts import ROOT

SCRIPT = ROOT / "deploy/compose/make_env.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_env", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made() -> dict[str, str]:
    text = subprocess.run(
        [sys.executable, str(SCRIPT)], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    return dict(re.findall(r"(?m)^([A-Z0-9_]+)=(.*)$", text))


@settings(max_examples=10, deadline=None)
@given(st.binary(min_size=32, max_size=32))
def test_the_public_key_is_the_one_that_the_library_derives(private: bytes) -> None:
    key = Ed25519PrivateKey.from_private_bytes(private)
    assert load().ed25519_public(private) == key.public_key().public_bytes_raw()


def test_everything_but_stripes_keys_is_filled_in_and_differs_each_time() -> None:
    first, second = made(), made()
    assert {name for name, value in first.items() if not value} == {
        "STRIPE_SECRET_KEY", "STRIPE_PUBLISHABLE_KEY", "STRIPE_WEBHOOK_SECRET",
    }  # fmt: skip
    assert all(first[name] != second[name] for name in first if first[name])
    passwords = [value for name, value in first.items() if name.endswith("_PASSWORD")]
    assert len(set(passwords)) == len(passwords)
    assert all(re.fullmatch(r"[0-9a-f]{48}", value) for value in passwords)


def test_the_signing_key_signs() -> None:
    text = made()["ACCOUNTS_SIGNING_KEY"]
    assert text.startswith("'")
    assert Signer(text.strip("'")).sign({"sub": "x"}).count(".") == 2
    jwk = json.loads(text.strip("'"))
    assert len(base64.urlsafe_b64decode(jwk["d"] + "=")) == 32


def test_the_realm_gives_tokens_for_our_audience_and_holds_no_password() -> None:
    text = (ROOT / "deploy/keycloak/marketplace-realm.json").read_text(encoding="utf-8")
    realm = json.loads(text)
    (client,) = realm["clients"]
    (mapper,) = client["protocolMappers"]
    assert mapper["config"]["included.client.audience"] == "marketplace"
    assert {c["value"] for u in realm["users"] for c in u["credentials"]} == {"${DEMO_USERS_PASSWORD}"}
    assert all(u["emailVerified"] for u in realm["users"])
    assert client["publicClient"]
    assert "secret" not in client
