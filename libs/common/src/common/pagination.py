"""Keyset pages: `{items, next_cursor}`. A cursor is opaque to clients and holds the last row's sort values."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated

from fastapi import Query

from common.errors import Invalid

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
        raise Invalid(
            "This cursor is not one of ours: take `next_cursor` of the page before.", field="cursor"
        )
    return list(values)


def _fits_a_query(value: object) -> bool:
    """False for what PostgreSQL would refuse: a forged cursor is the caller's mistake, not an error of ours."""
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
    return value is None or (type(value) is int and -(2**63) <= value < 2**63)
