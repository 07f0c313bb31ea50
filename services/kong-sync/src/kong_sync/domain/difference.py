"""What an operator is shown of a difference: the field, what is wanted, what was found; never a key."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kong_sync.domain.canonical import differences
from kong_sync.domain.diff import Change
from kong_sync.domain.entities import Entity

_SECRET = re.compile(r"(^|[-_.])(key|token|secret|password|authorization|cookie|api-?key)$", re.IGNORECASE)
_NAMED = re.compile(
    r"^\s*([A-Za-z0-9_-]+)\s*:"
)  # an entry of request-transformer: a header's name and its value
_REFERENCE = "{vault://"
_SHOWN_OF_SECRET, _SHOWN_OF_TEXT = 6, 120
Shown = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs: its dotted path, and both values as they may be shown."""

    path: str
    wanted: Shown
    found: Shown

    def __str__(self) -> str:
        return f"{self.path}: {_quoted(self.found)} -> {_quoted(self.wanted)}"


def differences_of(change: Change) -> tuple[Difference, ...]:
    """The fields that an update changes; none for what is created or removed as a whole."""
    if change.present is None:
        return ()
    return _shown(change.fields, change.entity.fields, change.present.fields)


def compare(wanted: Entity, found: Mapping[str, Any]) -> tuple[Difference, ...]:
    """The fields in which `found` differs from `wanted`."""
    return _shown(differences(wanted, found), wanted.fields, found)


def _shown(
    paths: Iterable[str], wanted: Mapping[str, Any], found: Mapping[str, Any]
) -> tuple[Difference, ...]:
    return tuple(
        Difference(path, wanted=_show(path, _at(wanted, path)), found=_show(path, _at(found, path)))
        for path in paths
    )


def _at(fields: Mapping[str, Any], path: str) -> Any:
    value: Any = fields
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _show(path: str, value: Any) -> Shown:
    """The value, a part of it where it may be a secret, and a short text with a digest where it is long."""
    hidden = _hide(path, value)
    if hidden is None or isinstance(hidden, bool | int | float):
        return hidden
    text = hidden if isinstance(hidden, str) else json.dumps(hidden, sort_keys=True, ensure_ascii=False)
    text = " ".join(text.split())
    if len(text) <= _SHOWN_OF_TEXT:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{text[:_SHOWN_OF_TEXT]}… ({len(text)} characters, {digest})"


def _hide(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _hide(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_hide(name, inner) for inner in value]
    if not isinstance(value, str) or value.startswith(_REFERENCE):
        return value
    named = _NAMED.match(value)
    if named and _SECRET.search(named.group(1)):
        return f"{named.group(1)}:…"
    return f"{value[:_SHOWN_OF_SECRET]}…" if _SECRET.search(name) else value


def _quoted(value: Shown) -> str:
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value)
