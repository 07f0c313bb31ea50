"""Cursors: what goes in comes out, and anything else is the caller's mistake."""

from __future__ import annotations

import base64
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Invalid
from common.pagination import decode_cursor, encode_cursor

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
