"""Arrays as PostgreSQL writes them: one text a column, for the driver looks twice at each element of a list."""

from __future__ import annotations

from collections.abc import Iterable


def literal(values: Iterable[object]) -> str:
    """The array of ids, numbers, booleans, dates or instants; none of these needs a quote, so nothing else may come."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def cast(name: str, element: str) -> str:
    """The parameter `name`, which is bound to a literal, as an array of `element` in SQL."""
    return f"CAST(CAST(:{name} AS text) AS {element}[])"
