from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.domain import organisation
from accounts.domain.errors import InvalidSlug
from accounts.domain.organisation import OrganisationStatus
from tests.accounts.factories import NOW, ORGANISATION_ID, an_organisation

LATER = NOW + timedelta(days=1)


def test_a_new_organisation_is_active_and_at_version_one() -> None:
    founded = organisation.found(ORGANISATION_ID, slug="acme", name="Acme", at=NOW)
    assert founded == an_organisation()


@pytest.mark.parametrize(
    "slug",
    [
        "a",
        "a" * 51,
        "Acme",
        "ac me",
        "acme_",
        "-acme",
        "acme-",
        "ämce",
        "acme\n",
        "",
        "a/b",
        "platform",
        "v1",
    ],
)
def test_a_slug_that_cannot_stand_in_a_path_is_refused(slug: str) -> None:
    with pytest.raises(InvalidSlug) as refused:
        organisation.check_slug(slug)
    assert refused.value.field == "slug"


@pytest.mark.parametrize("slug", ["ab", "acme", "a-1", "42", "a" * 50])
def test_a_sound_slug_is_taken_as_it_is(slug: str) -> None:
    assert organisation.check_slug(slug) == slug


@given(st.text())
def test_whatever_passes_is_safe_in_a_path_and_in_a_regular_expression(slug: str) -> None:
    try:
        organisation.check_slug(slug)
    except InvalidSlug:
        return
    assert set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert 2 <= len(slug) <= 50


def test_a_change_raises_the_version_by_one() -> None:
    changed = organisation.describe(
        an_organisation(), changes={"name": "Acme Ltd", "website": "https://a.test"}, at=LATER
    )
    assert (changed.name, changed.website, changed.version, changed.updated_at) == (
        "Acme Ltd",
        "https://a.test",
        2,
        LATER,
    )


def test_a_change_that_says_nothing_new_keeps_the_version() -> None:
    acme = an_organisation(website="https://a.test")
    assert (
        organisation.describe(acme, changes={"name": "Acme", "website": "https://a.test"}, at=LATER) is acme
    )
    assert organisation.describe(acme, changes={}, at=LATER) is acme


def test_a_website_can_be_taken_away_and_a_name_cannot() -> None:
    acme = an_organisation(website="https://a.test")
    changed = organisation.describe(acme, changes={"website": None, "name": None}, at=LATER)
    assert (changed.website, changed.name) == (None, "Acme")


def test_suspending_twice_is_suspending_once() -> None:
    suspended = organisation.suspend(an_organisation(), at=LATER)
    assert (suspended.status, suspended.version) == (OrganisationStatus.SUSPENDED, 2)
    assert organisation.suspend(suspended, at=LATER) is suspended
    assert organisation.restore(suspended, at=LATER).version == 3
