"""Pages in the order of ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from common.errors import Invalid
from common.pagination import decode_cursor, encode_cursor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


def position(cursor: str | None) -> UUID | None:
    """The id after which the page begins; None for the first page."""
    if cursor is None:
        return None
    (value,) = decode_cursor(cursor, parts=1)
    try:
        return UUID(str(value))
    except ValueError:
        raise Invalid("This cursor is not one of ours.", field="cursor") from None


def page_of(found: Sequence[T], *, limit: int, key: Callable[[T], UUID]) -> tuple[Sequence[T], str | None]:
    """At most `limit` of `found` (which was asked for with one more), and the cursor of the next page."""
    shown = found[:limit]
    return shown, encode_cursor(str(key(shown[-1]))) if len(found) > limit else None
