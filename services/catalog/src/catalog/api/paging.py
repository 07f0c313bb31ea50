"""Cursors that hold one id."""

from uuid import UUID

from common.errors import Invalid
from common.pagination import decode_cursor


def id_after(cursor: str | None) -> UUID | None:
    """The id in `cursor`; None without one."""
    if cursor is None:
        return None
    try:
        return UUID(str(decode_cursor(cursor, parts=1)[0]))
    except ValueError:
        raise Invalid("This cursor is not one of ours.", field="cursor") from None
