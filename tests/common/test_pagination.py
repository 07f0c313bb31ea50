"""Cursors: what goes in comes out, and anything else is the caller's mistake."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Invalid
from common.pagination import decode_cursor, encode_cursor, id_after, number_after, page_of

VALUES = st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40
)  # fmt: skip


@given(st.lists(VALUES, max_size=4))
def test_a_cursor_gives_back_what_it_was_made_of(values: list[str | int | None]) -> None:
    assert decode_cursor(encode_cursor(*values), parts=len(values)) == values


@given(st.text(max_size=200))
def test_junk_is_invalid_or_happens_to_be_a_cursor(junk: str) -> None:
    with suppress(Invalid):  # and raises nothing else
        assert len(decode_cursor(junk, parts=1)) == 1


def made_of(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "value",
    [
        "a", {"a": 1}, [], ["a", "b"], [["a"]], [{"a": 1}], [1.5], [True], [2**63], [-(2**63) - 1], ["a\0"],
        ["\ud800"], [[[[[[]]]]]], None,
    ],
    ids=repr,
)  # fmt: skip
def test_a_forged_cursor_that_no_query_could_take_is_invalid(value: object) -> None:
    with pytest.raises(Invalid):
        decode_cursor(made_of(value), parts=1)


def test_a_cursor_that_nests_as_deep_as_fits_is_invalid() -> None:
    with pytest.raises(Invalid):
        decode_cursor(base64.urlsafe_b64encode(b"[" * 380).decode(), parts=1)


@given(st.lists(VALUES, min_size=1, max_size=3))
def test_a_cursor_fits_into_a_query_as_it_is(values: list[str | int | None]) -> None:
    assert all(c.isascii() and (c.isalnum() or c in "-_") for c in encode_cursor(*values))


def test_an_id_or_a_number_and_nothing_else() -> None:
    one = UUID(int=1)
    assert (id_after(None), number_after(None)) == (None, None)
    assert (id_after(encode_cursor(str(one))), number_after(encode_cursor(7))) == (one, 7)
    for value in ("x", "", None, -1, 2**40):
        for read in (id_after, number_after):
            with pytest.raises(Invalid):
                read(encode_cursor(value))


def test_the_cursor_of_the_next_page_is_the_last_one_shown() -> None:
    ids = [UUID(int=n) for n in range(3)]
    assert page_of(ids, limit=2, key=lambda found: found) == (ids[:2], encode_cursor(str(ids[1])))
    assert page_of(ids, limit=3, key=lambda found: found) == (ids, None)
