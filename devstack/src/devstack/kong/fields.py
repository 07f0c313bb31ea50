"""Kong's schema language in small: fill in defaults, then validate, with Kong's own words for what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Json = dict[str, Any]
Problems = Any  # a text, or a mapping or list of the same shape as the value


class _Unset:
    """No value was given (null is a value)."""


UNSET: Final = _Unset()
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_KIND_NAMES = {
    "string": "expected a string",
    "integer": "expected an integer",
    "number": "expected a number",
    "boolean": "expected a boolean",
    "array": "expected an array",
    "set": "expected a set",
    "map": "expected a map",
    "record": "expected a record",
    "foreign": "expected a foreign key",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a schema; `record` fields hold fields of their own."""

    kind: str
    default: Any = None
    required: bool = False
    one_of: Sequence[Any] = ()
    between: tuple[float, float] | None = None
    gt: float | None = None
    len_min: int | None = None
    starts_with: str | None = None
    elements: Field | None = None
    fields: Mapping[str, Field] = field(default_factory=dict)
    check: Callable[[Any], str | None] | None = None
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # deprecated name -> path
    reference: str | None = None  # the kind that a foreign key points at
    told: Mapping[str, Any] = field(default_factory=dict)  # what `GET /schemas` says of it beside all this


def text(default: str | None = None, **more: Any) -> Field:
    return Field("string", default, **more)


def integer(default: int | None = None, **more: Any) -> Field:
    return Field("integer", default, **more)


def number(default: float | None = None, **more: Any) -> Field:
    return Field("number", default, **more)


def flag(**more: Any) -> Field:
    return Field("boolean", **more)


def on(**more: Any) -> Field:
    return Field("boolean", default=True, **more)


def off(**more: Any) -> Field:
    return Field("boolean", default=False, **more)


def array(elements: Field | None = None, default: Any = None, **more: Any) -> Field:
    return Field("array", default, elements=elements or text(), **more)


def strings(default: Any = None, **more: Any) -> Field:
    return Field("set", default, elements=text(), **more)


def mapping(elements: Field | None = None, default: Any = None, **more: Any) -> Field:
    return Field("map", default, elements=elements or text(), **more)


def record(fields: Mapping[str, Field], **more: Any) -> Field:
    return Field("record", fields=fields, required=True, **more)


def foreign(kind: str, **more: Any) -> Field:
    return Field("foreign", reference=kind, **more)


def fill(fields: Mapping[str, Field], given: Json, aliases: Mapping[str, tuple[str, ...]]) -> Json:
    """`given` with every absent field at its default; deprecated names are moved to where they now live."""
    moved = move_aliases(given, aliases)
    filled: Json = {}
    for name, spec in fields.items():
        value = moved.pop(name, UNSET)
        if spec.kind == "record" and (value is UNSET or value is None) and spec.required:
            value = {}
        elif value is UNSET:
            value = spec.default() if callable(spec.default) else spec.default
        if spec.kind == "record" and isinstance(value, dict):
            value = fill(spec.fields, value, spec.aliases)
        filled[name] = value
    return filled | moved  # what is left is unknown; `problems_of` says so


def move_aliases(given: Json, aliases: Mapping[str, tuple[str, ...]]) -> Json:
    """`given` without deprecated names; a value under its new name stands."""
    moved = dict(given)
    for name, path in aliases.items():
        value = moved.pop(name, None)
        if value is not None:
            _put(moved, path, value)
    return moved


def _put(target: Json, path: tuple[str, ...], value: Any) -> None:
    for step in path[:-1]:
        target[step] = dict(target.get(step) or {})
        target = target[step]
    if target.get(path[-1]) is None:
        target[path[-1]] = value


def show_aliases(fields: Mapping[str, Field], value: Json) -> Json:
    """`value` as Kong shows it: with the deprecated names beside the new ones."""
    shown = dict(value)
    for name, spec in fields.items():
        if spec.kind == "record" and isinstance(value.get(name), dict):
            shown[name] = show_aliases(spec.fields, value[name])
            for alias, path in spec.aliases.items():
                found: Any = shown[name]
                for step in path:
                    found = found.get(step) if isinstance(found, dict) else None
                shown[name][alias] = found
    return shown


def read_texts(fields: Mapping[str, Field], given: Json, aliases: Mapping[str, tuple[str, ...]]) -> Json:
    """The texts of a form as the schema wants them; what it does not know stays a text."""
    read: Json = {}
    for name, value in given.items():
        spec = fields.get(name) or (_at(fields, aliases[name]) if name in aliases else None)
        read[name] = _read(spec, value) if spec else value
    return read


def _at(fields: Mapping[str, Field], path: tuple[str, ...]) -> Field:
    found = fields[path[0]]
    for step in path[1:]:
        found = found.fields[step]
    return found


def _read(spec: Field, value: Any) -> Any:
    if value == "":
        return None
    if spec.kind in ("array", "set"):
        items = value if isinstance(value, list) else [value]
        return [_read(spec.elements, item) for item in items] if spec.elements else items
    if isinstance(value, dict):
        if spec.kind == "map" and spec.elements:
            return {key: _read(spec.elements, item) for key, item in value.items()}
        return read_texts(spec.fields, value, spec.aliases) if spec.kind == "record" else value
    if not isinstance(value, str):
        return value
    if spec.kind == "boolean" and value in ("true", "false"):
        return value == "true"
    if spec.kind in ("integer", "number") and re.fullmatch(r"-?\d{1,15}(\.\d+)?", value):
        return float(value) if "." in value else int(value)
    return value


def problems_of(fields: Mapping[str, Field], value: Json) -> dict[str, Problems]:
    """What is wrong with `value`, by field; empty when nothing is."""
    found: dict[str, Problems] = {name: "unknown field" for name in value if name not in fields}
    for name, spec in fields.items():
        problem = _problem(spec, value.get(name))
        if problem:
            found[name] = problem
    return found


def _problem(spec: Field, value: Any) -> Problems:
    if value is None:
        return "required field missing" if spec.required else None
    if not _has_kind(spec.kind, value):
        return _KIND_NAMES[spec.kind]
    if spec.kind == "record":
        nested = problems_of(spec.fields, value)
        if not nested and spec.check and (said := spec.check(value)):
            return {"@entity": [said]}
        return nested
    if spec.kind in ("array", "set", "map"):
        return _problem_inside(spec, value)
    return _problem_alone(spec, value) or (spec.check(value) if spec.check else None)


def _has_kind(kind: str, value: Any) -> bool:
    if kind == "string":
        return isinstance(value, str)
    if kind == "boolean":
        return isinstance(value, bool)
    if kind in ("integer", "number"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return kind == "number" or float(value).is_integer()
    if kind in ("array", "set"):
        return isinstance(value, list)
    return isinstance(value, dict)


def _problem_inside(spec: Field, value: Any) -> Problems:
    if spec.len_min is not None and len(value) < spec.len_min:
        return f"length must be at least {spec.len_min}"
    if spec.elements is None:
        return None
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    found = {key: problem for key, item in pairs if (problem := _problem(spec.elements, item))}
    if not found:
        return spec.check(value) if spec.check else None
    if isinstance(value, dict):
        return found
    return [found.get(index) for index in range(max(found) + 1)]


def _problem_alone(spec: Field, value: Any) -> str | None:
    if spec.kind == "string" and value == "" and spec.len_min != 0:
        return "length must be at least 1"
    if spec.one_of and value not in spec.one_of:
        return "expected one of: " + ", ".join(str(choice) for choice in spec.one_of)
    if spec.between and not spec.between[0] <= value <= spec.between[1]:
        return f"value should be between {spec.between[0]:g} and {spec.between[1]:g}"
    if spec.gt is not None and not value > spec.gt:
        return f"value must be greater than {spec.gt:g}"
    if spec.starts_with and not value.startswith(spec.starts_with):
        return f"should start with: {spec.starts_with}"
    if spec.kind == "foreign" and not (isinstance(value.get("id"), str) and UUID.fullmatch(value["id"])):
        return {"id": "expected a valid UUID"} if "id" in value else "missing primary key"  # type: ignore[return-value]
    return None


def describe(problems: Mapping[str, Problems]) -> str:
    """Kong's message for a set of schema violations."""
    lines = list(_flatten(problems, ""))
    inside = "; ".join(lines)
    return f"schema violation ({inside})" if len(lines) == 1 else f"{len(lines)} schema violations ({inside})"


def _flatten(problems: Problems, prefix: str) -> list[str]:
    if isinstance(problems, str):
        return [f"{prefix}: {problems}" if prefix else problems]
    if isinstance(problems, list):
        pairs = [(str(index + 1), item) for index, item in enumerate(problems) if item]
    else:
        pairs = sorted(problems.items())
    lines: list[str] = []
    for key, item in pairs:
        if key == "@entity":
            lines += [f"{prefix}: {said}" if prefix else said for said in item]
        else:
            lines += _flatten(item, f"{prefix}.{key}" if prefix else key)
    return lines
