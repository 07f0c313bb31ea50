from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc.jwk import ECKey, OKPKey
from typer.testing import CliRunner

from accounts.cli import app
from accounts.clients.signing import Signer, SigningKeyInvalid, generate_key

SECRET_PARTS = ('"d"', '"k"', '"p"', '"q"')


def test_a_generated_key_signs_and_publishes_its_public_part_only() -> None:
    signer = Signer(generate_key())
    assert signer.sign({"sub": "x"}).count(".") == 2
    published = signer.jwks["keys"]
    assert [sorted(key) for key in published] == [["alg", "crv", "kid", "kty", "use", "x"]]


def test_a_retired_key_stays_published_after_the_present_one() -> None:
    old = Signer(generate_key())
    new = Signer(generate_key(), retired=json.dumps(old.jwks["keys"]))
    assert new.jwks["keys"][1:] == old.jwks["keys"]
    assert Signer(generate_key(), retired=json.dumps(old.jwks)).jwks["keys"][1:] == old.jwks["keys"]


def test_a_key_without_an_id_is_named_by_its_thumbprint() -> None:
    jwk = OKPKey.generate_key("Ed25519").as_dict(private=True)
    assert len(Signer(json.dumps(jwk)).jwks["keys"][0]["kid"]) == 43


def public(key: Any) -> str:
    return json.dumps(key.as_dict(private=False))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        "{}",
        json.dumps({"kty": "OKP", "crv": "Ed25519", "x": "??", "d": "top-secret-part"}),
        public(OKPKey.generate_key("Ed25519")),
        json.dumps(OKPKey.generate_key("X25519").as_dict(private=True)),
        json.dumps(ECKey.generate_key("P-256").as_dict(private=True)),
    ],
    ids=["empty", "not JSON", "a list", "no members", "junk", "public", "X25519", "P-256"],
)
def test_a_key_that_cannot_sign_is_refused_at_the_start_without_showing_it(text: str) -> None:
    with pytest.raises(SigningKeyInvalid) as refused:
        Signer(text)
    assert "top-secret-part" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_retired_key_with_its_private_part_is_refused() -> None:
    with pytest.raises(SigningKeyInvalid, match="private"):
        Signer(generate_key(), retired=f"[{generate_key()}]")


def test_the_command_line_makes_a_key_and_retires_it() -> None:
    runner = CliRunner()
    key = runner.invoke(app, ["keygen"]).stdout
    retired = runner.invoke(app, ["public-key"], input=key).stdout
    assert '"d"' in key
    assert not any(part in retired for part in SECRET_PARTS)
    assert Signer(generate_key(), retired=retired).jwks["keys"][1] == Signer(key).jwks["keys"][0]
