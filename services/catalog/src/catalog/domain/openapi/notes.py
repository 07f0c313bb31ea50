"""Warnings, gathered while a document is read: one per kind, with how often it was seen."""

from dataclasses import replace

from catalog.domain.openapi.limits import Warning  # noqa: A004 - our own value, see there


class Notes:
    """What was odd so far. A document with ten thousand quirks of one kind yields one warning."""

    def __init__(self) -> None:
        self._by_code: dict[str, Warning] = {}

    def add(self, code: str, detail: str, at: str) -> None:
        """One more quirk of kind `code`; the first one's place is kept."""
        known = self._by_code.get(code)
        self._by_code[code] = replace(known, count=known.count + 1) if known else Warning(code, detail, at)

    def warnings(self) -> tuple[Warning, ...]:
        """All warnings, in the order in which each kind was first seen."""
        return tuple(self._by_code.values())
