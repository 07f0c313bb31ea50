import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.domain.errors import BadSlug
from catalog.domain.naming import checked_slug, checked_version


@pytest.mark.parametrize("slug", ["ab", "rates", "my-api-2", "9lives", "a" * 50])
def test_slugs_that_stand_in_a_path(slug: str) -> None:
    assert checked_slug(slug) == slug


@pytest.mark.parametrize(
    "slug", ["", "a", "a" * 51, "Rates", "-rates", "rates-", "ra tes", "rätes", "a/b", "a.b", "٣٤", "rates\n"]
)
def test_slugs_that_do_not(slug: str) -> None:
    with pytest.raises(BadSlug):
        checked_slug(slug)


@pytest.mark.parametrize("slug", ["v1", "v10", "v2-beta"])
def test_a_slug_is_no_version_since_both_stand_in_the_same_place(slug: str) -> None:
    with pytest.raises(BadSlug, match="version"):
        checked_slug(slug)


@pytest.mark.parametrize("name", ["v1", "v12", "v1.2", "v1.2.3", "v2-beta"])
def test_versions(name: str) -> None:
    assert checked_version(name) == name


@pytest.mark.parametrize(
    "name", ["", "1", "V1", "v", "v1/", "v1..2", "v1-", "latest", "v1 ", "v1\n", "v12345"]
)
def test_no_versions(name: str) -> None:
    with pytest.raises(BadSlug):
        checked_version(name)


@given(st.text(max_size=60))
def test_whatever_passes_needs_no_escaping_in_a_path(text: str) -> None:
    try:
        checked_slug(text)
    except BadSlug:
        return
    assert text.isascii()
    assert text.replace("-", "").isalnum()
    assert text == text.lower()
