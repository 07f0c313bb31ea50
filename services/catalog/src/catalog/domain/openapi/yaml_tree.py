"""YAML to plain values, from the parser's events: no recursion, no tags, and aliases unfold on a budget."""

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from catalog.domain.errors import DocumentTooComplex, DocumentUnreadable
from catalog.domain.openapi.limits import Limits

_INTEGER = re.compile(r"[-+]?[0-9]{1,30}", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]{1,30}|[0-9]{1,30}(?:\.[0-9]{0,30})?)(?:[eE][-+]?[0-9]{1,3})?", re.ASCII)
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "<<"
_NO_KEY = object()


@dataclass(slots=True)
class _Open:
    """A sequence or mapping whose end has not been read yet."""

    value: Any
    anchor: str | None
    size: int = 1
    key: Any = _NO_KEY
    merged: list[dict[str, Any]] = field(default_factory=list)


def yaml_tree(text: str, *, limits: Limits) -> Any:
    """The one document in `text` by YAML 1.2's core rules: `yes` and `2024-01-01` stay text."""
    builder = _Builder(limits)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise DocumentUnreadable(
            f"Not YAML: {getattr(error, 'problem', None) or 'unreadable'}{where}."
        ) from error
    return builder.root


class _Builder:
    """Folds parser events into one value. A value that an alias repeats is counted again each time."""

    def __init__(self, limits: Limits) -> None:
        self.root: Any = None
        self._limits = limits
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._documents = 0

    def take(self, event: Any) -> None:
        """One event of the parser is folded in."""
        match event:
            case yaml.ScalarEvent():
                self._finish(_scalar(event), 1, anchor=event.anchor)
            case yaml.MappingStartEvent():
                self._start({}, event.anchor)
            case yaml.SequenceStartEvent():
                self._start([], event.anchor)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._end()
            case yaml.AliasEvent():
                if event.anchor not in self._anchors:
                    raise DocumentUnreadable(
                        f"Not YAML: the alias *{event.anchor} stands before its anchor's end."
                    )
                self._finish(*self._anchors[event.anchor], anchor=None)
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise DocumentUnreadable("The body holds more than one YAML document.")

    def _start(self, value: Any, anchor: str | None) -> None:
        if len(self._open) >= self._limits.max_depth:
            raise DocumentTooComplex(
                f"The document is nested more than {self._limits.max_depth} levels deep."
            )
        self._open.append(_Open(value, anchor))

    def _end(self) -> None:
        done = self._open.pop()
        for source in done.merged:  # what stands in the mapping itself wins over what `<<` brings
            for key, value in source.items():
                done.value.setdefault(key, value)
        self._finish(done.value, done.size, anchor=done.anchor)

    def _finish(self, value: Any, size: int, *, anchor: str | None) -> None:
        """`value`, which unfolds into `size` values, takes its place in what is open, or is the document."""
        if anchor is not None:
            self._anchors[anchor] = (value, size)
        if not self._open:
            self.root = value
            return
        parent = self._open[-1]
        parent.size += size
        if parent.size > self._limits.max_nodes:
            raise DocumentTooComplex(f"The document unfolds into more than {self._limits.max_nodes} values.")
        if isinstance(parent.value, list):
            parent.value.append(value)
        elif parent.key is _NO_KEY:
            parent.key = _key(value)
        else:
            _put(parent, value)
            parent.key = _NO_KEY


def _put(parent: _Open, value: Any) -> None:
    if parent.key != _MERGE:
        parent.value[parent.key] = value
        return
    sources = value if isinstance(value, list) else [value]
    if not all(isinstance(source, dict) for source in sources):
        raise DocumentUnreadable("Not YAML: `<<` merges mappings only.")
    parent.merged.extend(sources)


def _key(value: Any) -> str:
    """Keys are text, as in JSON: the response codes 200 and "200" are the same."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return str(value)
    raise DocumentUnreadable("Not YAML as OpenAPI uses it: a key is neither text nor number.")


def _scalar(event: Any) -> Any:
    text: str = event.value
    if not event.implicit[0]:  # quoted, or tagged: text unless JSON would read it otherwise
        return text
    if text in _NULLS:
        return None
    if text in _TRUTHS:
        return _TRUTHS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text
