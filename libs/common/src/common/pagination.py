"""Keyset pages: `{items, next_cursor}`. A cursor is opaque to clients and holds the last row's sort values."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Query

from common.errors import Invalid

T = TypeVar("T")
Limit = Annotated[int, Query(ge=1, le=100, description="At most so many items.")]
Cursor = Annotated[str | None, Query(max_length=512, description="`next_cursor` of the page before.")]


def encode_cursor(*values: str | int | None) -> str:
    """An opaque cursor that holds `values`."""
    return base64.urlsafe_b64encode(json.dumps(values, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *, parts: int) -> list[str | int | None]:
    """The values of `cursor`; Invalid when it is not one that we made with so many `parts`."""
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        values = None
    if not isinstance(values, list) or len(values) != parts or not all(map(_fits_a_query, values)):
        raise not_ours()
    return list(values)


def not_ours() -> Invalid:
    """What a forged or broken cursor is answered with."""
    return Invalid("This cursor is not one of ours: take `next_cursor` of the page before.", field="cursor")


def id_after(cursor: str | None) -> UUID | None:
    """The id after which the page begins; None for the first page."""
    if cursor is None:
        return None
    (value,) = decode_cursor(cursor, parts=1)
    try:
        return UUID(str(value))
    except ValueError:
        raise not_ours() from None


def number_after(cursor: str | None) -> int | None:
    """The number (of 32 bits) after which the page begins; None for the first page."""
    if cursor is None:
        return None
    (value,) = decode_cursor(cursor, parts=1)
    if not isinstance(value, int) or not 0 <= value < 2**31:
        raise not_ours()
    return value


def page_of(found: Sequence[T], *, limit: int, key: Callable[[T], UUID]) -> tuple[Sequence[T], str | None]:
    """At most `limit` of `found` (which was asked for with one more), and the cursor of the next page."""
    shown = found[:limit]
    return shown, encode_cursor(str(key(shown[-1]))) if len(found) > limit else None


def _fits_a_query(value: object) -> bool:
    """False for what PostgreSQL would refuse: a forged cursor is the caller's mistake, not an error of ours."""
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
    return value is None or (type(value) is int and -(2**63) <= value < 2**63)
