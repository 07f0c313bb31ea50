"""A checked tree to the operations it describes, and to warnings about what is odd in it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from catalog.domain.errors import DocumentInvalid, DocumentTooComplex, NoOperations
from catalog.domain.openapi.limits import Limits
from catalog.domain.openapi.notes import Notes
from catalog.domain.openapi.references import pointer, resolve
from catalog.domain.openapi.scopes import scopes_of

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_TEMPLATE = re.compile(r"\{([^{}]+)\}")
_MAX_PATH_BYTES = 1_000


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an operation, as far as a listing needs it."""

    name: str
    location: str  # path, query, header or cookie
    required: bool


@dataclass(frozen=True, slots=True)
class _Source:
    """The document being read, and what was odd in it so far."""

    tree: dict[str, Any]
    notes: Notes


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be called: a method and a path template."""

    method: str
    path: str
    operation_id: str | None
    summary: str
    description: str
    tags: tuple[str, ...]
    deprecated: bool
    parameters: tuple[Parameter, ...]
    request_types: tuple[str, ...]
    responses: tuple[str, ...]
    scopes: tuple[str, ...] | None = None


def operations_of(tree: dict[str, Any], *, limits: Limits, notes: Notes) -> list[Operation]:
    """Every operation under `paths`, in the document's order."""
    paths = tree.get("paths")
    if paths is None:
        raise NoOperations
    if not isinstance(paths, dict):
        raise DocumentInvalid("`paths` is not an object", at="/paths")
    source = _Source(tree, notes)
    operations = [found for path, item in paths.items() for found in _of_path(source, path, item)]
    if not operations:
        raise NoOperations
    if len(operations) > limits.max_operations:
        raise DocumentTooComplex(f"The document describes more than {limits.max_operations} operations.")
    if len({operation.scopes for operation in operations}) > limits.max_scope_sets:
        raise DocumentTooComplex(f"The document asks for more than {limits.max_scope_sets} sets of scopes.")
    _note_repetitions(operations, notes)
    return operations


def _of_path(source: _Source, path: str, item: Any) -> Iterator[Operation]:
    at = pointer("paths", path)
    if path.startswith("x-"):
        return
    if isinstance(item, dict) and isinstance(item.get("$ref"), str):
        target = resolve(source.tree, item["$ref"])
        if not isinstance(target, dict):
            raise DocumentInvalid(f"The path refers to {item['$ref'][:200]!r}, which is not there", at=at)
        item = {**target, **{key: value for key, value in item.items() if key != "$ref"}}
    if not isinstance(item, dict):
        raise DocumentInvalid("A path item is not an object", at=at)
    checked = _checked_path(path, at, source.notes)
    shared = _parameters(source, item.get("parameters"), at)
    for method in METHODS:
        if method in item:
            own = _parameters(source, _operation_object(item[method], f"{at}/{method}").get("parameters"), at)
            yield _operation(source, (method, checked), item[method], shared | own, at=f"{at}/{method}")


def _checked_path(path: str, at: str, notes: Notes) -> str:
    if len(path.encode("utf-8", "replace")) > _MAX_PATH_BYTES or not path.isprintable():
        raise DocumentInvalid(f"A path has at most {_MAX_PATH_BYTES} bytes, all printable", at=at)
    if "#" in path or "?" in path:
        notes.add(
            "PATH_WITH_SUFFIX", "What follows ? or # in a path is shown, and ignored for matching calls.", at
        )
    if not path.startswith("/"):
        notes.add("PATH_WITHOUT_SLASH", "A path does not begin with a slash; one was put before it.", at)
        return f"/{path}"
    return path


def _operation_object(raw: Any, at: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise DocumentInvalid("An operation is not an object", at=at)
    return raw


def _operation(
    source: _Source,
    call: tuple[str, str],
    raw: dict[str, Any],
    parameters: dict[tuple[str, str], Parameter],
    *,
    at: str,
) -> Operation:
    method, path = call
    notes = source.notes
    _note_path_parameters(path, parameters, at, notes)
    responses = raw.get("responses")
    if not isinstance(responses, dict) or not responses:
        notes.add("RESPONSES_MISSING", "An operation describes no response.", at)
        responses = {}
    body = raw.get("requestBody")
    if isinstance(body, dict) and isinstance(body.get("$ref"), str):
        body = resolve(source.tree, body["$ref"])
    content = body.get("content") if isinstance(body, dict) else None
    tags = raw.get("tags")
    return Operation(
        method=method.upper(),
        path=path,
        operation_id=clean(raw.get("operationId"), 200) or None,
        summary=clean(raw.get("summary"), 200),
        description=clean(raw.get("description"), 2_000),
        tags=tuple(clean(t, 100) for t in tags[:20] if isinstance(t, str)) if isinstance(tags, list) else (),
        deprecated=raw.get("deprecated") is True,
        parameters=tuple(parameters.values()),
        request_types=tuple(clean(t, 100) for t in content) if isinstance(content, dict) else (),
        responses=tuple(clean(code, 20) for code in responses if not code.startswith("x-")),
        scopes=scopes_of(source.tree, raw, at=at, notes=notes),
    )


def _parameters(source: _Source, raw: Any, at: str) -> dict[tuple[str, str], Parameter]:
    """Parameters by place and name, so that an operation's own replaces the path's of the same name."""
    if raw is None:
        return {}
    if not isinstance(raw, list):
        source.notes.add("PARAMETERS_UNREADABLE", "`parameters` is not a list; it was ignored.", at)
        return {}
    found: dict[tuple[str, str], Parameter] = {}
    for entry in raw:
        parameter = resolve(source.tree, entry["$ref"]) if _is_reference(entry) else entry
        name, location = _named(parameter)
        if not name or location not in {"path", "query", "header", "cookie"}:
            source.notes.add(
                "PARAMETER_UNREADABLE", "A parameter has no name or no place; it was ignored.", at
            )
            continue
        required = parameter.get("required") is True or location == "path"
        found[location, name] = Parameter(name, location, required)
    return found


def _is_reference(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("$ref"), str)


def _named(parameter: Any) -> tuple[str, str]:
    if not isinstance(parameter, dict):
        return "", ""
    return clean(parameter.get("name"), 200), clean(parameter.get("in"), 20)


def _note_path_parameters(
    path: str, parameters: dict[tuple[str, str], Parameter], at: str, notes: Notes
) -> None:
    wanted = {clean(name, 200) for name in _TEMPLATE.findall(path)}
    given = {name for location, name in parameters if location == "path"}
    if wanted - given:
        notes.add("PATH_PARAMETER_UNDECLARED", "A path holds a {parameter} that is not described.", at)
    if given - wanted:
        notes.add("PATH_PARAMETER_UNUSED", "A path parameter is described and not in the path.", at)


def _note_repetitions(operations: list[Operation], notes: Notes) -> None:
    seen_ids: set[str] = set()
    seen_shapes: set[tuple[str, str]] = set()
    for operation in operations:
        at = pointer("paths", operation.path, operation.method.lower())
        if operation.operation_id is not None:
            if operation.operation_id in seen_ids:
                notes.add("OPERATION_ID_REPEATED", "Two operations have one operationId.", at)
            seen_ids.add(operation.operation_id)
        shape = (operation.method, template_shape(operation.path))
        if shape in seen_shapes:
            notes.add("PATHS_OVERLAP", "Two paths match the same calls; the first counts.", at)
        seen_shapes.add(shape)


def template_shape(path: str) -> str:
    """The path as calls are matched by it: without query and fragment, parameters without their names."""
    return _TEMPLATE.sub("{}", matched_path(path))


def matched_path(path: str) -> str:
    """The path without what cannot be matched in a call: `?…` and `#…`."""
    return path.split("#", 1)[0].split("?", 1)[0]


def clean(value: Any, length: int) -> str:
    """Text that every database takes: no NUL, no half character; at most `length` long. Not text: empty."""
    if not isinstance(value, str):
        return ""
    text = value[: length + 1].replace("\x00", "").encode("utf-8", "ignore").decode()
    return text if len(text) <= length else f"{text[: length - 1]}…"
