"""Ids: time-ordered ones for new things, derived ones where a repeat must give the same id."""

from __future__ import annotations

from uuid import UUID, uuid5

from uuid_utils.compat import uuid7

NAMESPACE = UUID("6f2a1f0e-2b6c-5c39-9d55-0f6f4f4a9a11")


def new_id() -> UUID:
    """A new UUIDv7: unique, and later ones sort later."""
    return uuid7()


def derived_id(*parts: str) -> UUID:
    """The UUIDv5 of `parts` under the marketplace's namespace: the same parts give the same id, always.

    Each part is preceded by its length, so that ("ab", "c") and ("a", "bc") differ.
    """
    return uuid5(NAMESPACE, "".join(f"{len(part)}:{part}" for part in parts))
