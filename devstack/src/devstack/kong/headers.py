"""HTTP header fields as they stood on the wire: order, case and repetition are kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_UNSAFE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Headers:
    """An ordered multimap with case-insensitive names."""

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items = [(name.lower(), name, value) for name, value in items]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((name, value) for _, name, value in self._items)

    def __contains__(self, name: str) -> bool:
        wanted = name.lower()
        return any(key == wanted for key, _, _ in self._items)

    def get(self, name: str) -> str | None:
        """The first value, or None."""
        wanted = name.lower()
        for key, _, value in self._items:
            if key == wanted:
                return value
        return None

    def get_all(self, name: str) -> list[str]:
        wanted = name.lower()
        return [value for key, _, value in self._items if key == wanted]

    def add(self, name: str, value: str) -> None:
        self._items.append((name.lower(), name, value))

    def set(self, name: str, value: str) -> None:
        """Exactly one field of this name is left, in the place of the first."""
        wanted = name.lower()
        for index, (key, _, _) in enumerate(self._items):
            if key == wanted:
                rest = [item for item in self._items[index + 1 :] if item[0] != wanted]
                self._items[index:] = [(wanted, name, value), *rest]
                return
        self._items.append((wanted, name, value))

    def set_all(self, name: str, values: Iterable[str]) -> None:
        self.remove(name)
        for value in values:
            self.add(name, value)

    def remove(self, name: str) -> None:
        wanted = name.lower()
        if any(key == wanted for key, _, _ in self._items):
            self._items = [item for item in self._items if item[0] != wanted]

    def copy(self) -> Headers:
        clone = Headers()
        clone._items = list(self._items)
        return clone

    def grouped(self) -> dict[str, str | list[str]]:
        """Lower-case names; a repeated field is a list: the form in which Kong logs headers."""
        out: dict[str, str | list[str]] = {}
        for key, _, value in self._items:
            held = out.get(key)
            if held is None:
                out[key] = value
            elif isinstance(held, list):
                held.append(value)
            else:
                out[key] = [held, value]
        return out

    def encode(self) -> bytes:
        """The fields for the wire. Whatever a plugin put into a value, it stays inside its line (as in OpenResty)."""
        lines = [f"{_escaped(name)}: {_escaped(value)}\r\n" for _, name, value in self._items]
        return "".join(lines).encode("latin-1", "replace")


def _escaped(text: str) -> str:
    return _UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", text)
