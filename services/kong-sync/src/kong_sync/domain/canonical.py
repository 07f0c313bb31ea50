"""Does what stands in Kong say what we want said? Only the fields that we set count; Kong fills in the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kong_sync.domain.entities import Entity

# Kong keeps these as sets, or their order means nothing.
_UNORDERED = frozenset(
    {"tags", "paths", "protocols", "methods", "hosts", "origins", "exposed_headers", "allow", "deny", "snis"}
)
# Maps of free names: one more entry is a difference. (In a record, a field that we do not set is Kong's default.)
_MAPS = frozenset({"headers", "custom_fields_by_lua"})


def differences(desired: Entity, actual: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the fields that differ, dotted, in order; nothing when they say the same."""
    wanted = {name: value for name, value in desired.fields.items() if name not in desired.volatile}
    return tuple(sorted(_differing(wanted, actual, prefix="")))


def _differing(wanted: Mapping[str, Any], actual: Mapping[str, Any], *, prefix: str) -> Iterator[str]:
    for name, value in wanted.items():
        there = actual.get(name)
        if isinstance(value, Mapping) and name not in _MAPS:
            yield from _differing(
                value, there if isinstance(there, Mapping) else {}, prefix=f"{prefix}{name}."
            )
        elif _canonical(name, value) != _canonical(name, there):
            yield f"{prefix}{name}"


def _canonical(name: str, value: Any) -> Any:
    """Absent, null and empty are one; the order of a set is none."""
    if value in (None, [], {}):
        return None
    if isinstance(value, list | tuple):
        return sorted(value) if name in _UNORDERED else list(value)
    return value
