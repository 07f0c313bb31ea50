from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.domain import access_token, audit
from accounts.domain.access_token import AccessToken
from accounts.domain.errors import ExpiryInThePast
from tests.accounts.factories import NOW, ORGANISATION_ID, USER_ID

TOKEN = AccessToken(
    id=USER_ID, user_id=USER_ID, organisation_id=ORGANISATION_ID, name="ci", prefix="mkp_00000000",
    sha256="0" * 64, created_at=NOW, expires_at=NOW + timedelta(days=1), last_used_at=None, revoked_at=None,
)  # fmt: skip


@given(st.binary(min_size=32, max_size=32))
def test_every_written_token_is_well_formed_and_of_one_length(secret: bytes) -> None:
    token = access_token.write(secret)
    assert len(token) == 4 + 43 + 6
    assert access_token.is_well_formed(token)


@given(st.binary(min_size=32, max_size=32), st.integers(4, 52), st.sampled_from("0Az9"))
def test_a_typo_is_found_without_a_look_up(secret: bytes, at: int, character: str) -> None:
    token = access_token.write(secret)
    mistyped = token[:at] + character + token[at + 1 :]
    assert access_token.is_well_formed(mistyped) == (mistyped == token)


@pytest.mark.parametrize("token", ["", "mkp_", "mk_live_x", "mkp_" + "0" * 43, "mkp_" + "é" * 49])
def test_what_is_no_token_is_refused(token: str) -> None:
    assert not access_token.is_well_formed(token)


def test_a_token_lives_until_its_end_unless_revoked() -> None:
    assert access_token.is_live(TOKEN, now=NOW)
    assert not access_token.is_live(TOKEN, now=TOKEN.expires_at)
    assert not access_token.is_live(replace(TOKEN, revoked_at=NOW), now=NOW)


@pytest.mark.parametrize("days", [0, -1, 367])
def test_an_end_is_in_the_future_and_within_a_year(days: int) -> None:
    with pytest.raises(ExpiryInThePast):
        access_token.check_expiry(NOW + timedelta(days=days), now=NOW)
    assert access_token.check_expiry(NOW + timedelta(days=366), now=NOW)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("testclient", None),
        (None, None),
    ],
)
def test_an_audit_entry_keeps_a_network_and_no_address(address: str | None, network: str | None) -> None:
    assert audit.network_of(address) == network
