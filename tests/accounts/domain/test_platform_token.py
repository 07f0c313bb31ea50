from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from accounts.domain.errors import NotAMember, OrganisationSuspended
from accounts.domain.membership import Role
from accounts.domain.organisation import OrganisationStatus
from accounts.domain.platform_token import Seat, choose_seat, claims
from accounts.domain.user import is_platform_admin
from tests.accounts.factories import (
    NOW,
    ORGANISATION_ID,
    USER_ID,
    a_membership,
    a_seat,
    an_identity,
    an_organisation,
)

BETA_ID = UUID("01900000-0000-7000-8000-000000000002")
TOKEN_ID = UUID("01900000-0000-7000-8000-0000000000f1")
ACME = a_seat()
BETA = Seat(
    organisation=an_organisation(id=BETA_ID, slug="beta"),
    membership=a_membership(organisation_id=BETA_ID, created_at=NOW + timedelta(days=1), role=Role.VIEWER),
)


def test_without_a_wish_the_seat_held_longest_is_taken() -> None:
    assert choose_seat([BETA, ACME], None) is ACME
    assert choose_seat([], None) is None


@pytest.mark.parametrize("wanted", ["beta", str(BETA_ID)])
def test_an_organisation_is_named_by_slug_or_id(wanted: str) -> None:
    assert choose_seat([ACME, BETA], wanted) is BETA


def test_an_organisation_without_a_seat_is_refused() -> None:
    with pytest.raises(NotAMember):
        choose_seat([ACME], "beta")


def test_a_suspended_organisation_is_refused_by_name_and_passed_over_otherwise() -> None:
    suspended = a_seat(status=OrganisationStatus.SUSPENDED)
    with pytest.raises(OrganisationSuspended):
        choose_seat([suspended], "acme")
    assert choose_seat([suspended, BETA], None) is BETA
    assert choose_seat([suspended], None) is None


def test_a_token_says_who_for_whom_and_until_when() -> None:
    said = claims(
        USER_ID,
        ACME,
        platform_admin=False,
        issuer="https://a.test",
        token_id=TOKEN_ID,
        now=NOW,
        ttl=timedelta(minutes=15),
    )
    assert said == {
        "iss": "https://a.test", "aud": "marketplace", "sub": str(USER_ID), "jti": str(TOKEN_ID),
        "iat": 1_794_744_000, "exp": 1_794_744_900,
        "org": str(ORGANISATION_ID), "org_slug": "acme", "role": "owner",
    }  # fmt: skip


def test_a_token_without_a_seat_names_no_organisation_and_an_admins_says_so() -> None:
    said = claims(
        USER_ID,
        None,
        platform_admin=True,
        issuer="https://a.test",
        token_id=TOKEN_ID,
        now=NOW,
        ttl=timedelta(minutes=1),
    )
    assert said.keys() == {"iss", "aud", "sub", "jti", "iat", "exp", "platform_role"}
    assert said["platform_role"] == "admin"


def test_an_admin_is_known_by_a_verified_address_whatever_its_case() -> None:
    admins = frozenset({"ada@example.test"})
    assert is_platform_admin(an_identity(), admins)
    assert not is_platform_admin(an_identity(email_verified=False), admins)
    assert not is_platform_admin(an_identity(email=None), admins)
    assert not is_platform_admin(an_identity(email="eve@example.test"), admins)
