"""Cursors over ids: newer ids sort later, so the last one seen is enough."""

from __future__ import annotations

from uuid import UUID

from common.errors import Invalid
from common.pagination import decode_cursor


def after_id(cursor: str | None) -> UUID | None:
    """The id that `cursor` stands for; None on the first page."""
    if cursor is None:
        return None
    (value,) = decode_cursor(cursor, parts=1)
    try:
        return UUID(str(value))
    except ValueError as error:
        raise Invalid("This cursor is not one of ours.", field="cursor") from error
