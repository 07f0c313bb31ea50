"""An answer that fits an operation's response schema: the same one every time."""

import json
from typing import Any

from devstack.upstream.documents import Document, Json, Operation
from devstack.upstream.messages import Answer

_DEPTH = 12
_STRINGS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "uuid": "018f3c5e-7b1a-7c3d-9e2f-4a5b6c7d8e9f",
    "email": "ada@example.com",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "byte": "ZXhhbXBsZQ==",
    "binary": "example",
}


def example_answer(document: Document, operation: Operation) -> Answer:
    """What the operation answers when all goes well: its lowest 2xx response, else its default."""
    status, response = _response(document, operation.definition)
    content_type, media = _media(document, response)
    if status in (204, 205, 304) or media is None:
        return Answer(status, b"", content_type="")
    value = _media_example(document, media)
    if "json" in content_type:
        return Answer(status, json.dumps(value, default=str).encode(), content_type=content_type)
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return Answer(status, text.encode(), content_type=content_type)


def _response(document: Document, definition: Json) -> tuple[int, Json]:
    responses = definition.get("responses")
    known = (
        {str(code): document.resolve(found) for code, found in responses.items()}
        if isinstance(responses, dict)
        else {}
    )
    for code in sorted(known):
        if code.startswith("2"):
            return int(code) if code.isdigit() else 200, _mapping(known[code])
    return 200, _mapping(known.get("default"))


def _media(document: Document, response: Json) -> tuple[str, Json | None]:
    if "schema" in response:  # Swagger 2.0 keeps the schema on the response
        return "application/json", {"schema": response["schema"], "examples": response.get("examples")}
    content = response.get("content")
    if not isinstance(content, dict) or not content:
        return "", None
    chosen = next((name for name in content if "json" in name), next(iter(content)))
    media = _mapping(document.resolve(content[chosen]))
    return ("application/json" if "*" in chosen else chosen), media


def _media_example(document: Document, media: Json) -> Any:
    if "example" in media:
        return media["example"]
    for found in _mapping(media.get("examples")).values():
        resolved = document.resolve(found)
        if isinstance(resolved, dict) and "value" in resolved:
            return resolved["value"]
    return example_value(document, media.get("schema"))


def example_value(document: Document, schema: Any, *, depth: int = 0) -> Any:
    """A value that the schema accepts; null where it recurses deeper than anybody reads."""
    schema = document.resolve(schema)
    if not isinstance(schema, dict) or depth > _DEPTH:
        return None
    for name in ("const", "example", "default"):
        if name in schema:
            return schema[name]
    for name in ("examples", "enum"):
        if isinstance(schema.get(name), list) and schema[name]:
            return schema[name][0]
    if isinstance(schema.get("allOf"), list):
        return _all_of(document, schema, depth)
    for name in ("oneOf", "anyOf"):
        if isinstance(schema.get(name), list) and schema[name]:
            return example_value(document, schema[name][0], depth=depth + 1)
    return _by_type(document, schema, depth)


def _all_of(document: Document, schema: Json, depth: int) -> Any:
    rest = {name: value for name, value in schema.items() if name != "allOf"}
    parts = [*schema["allOf"], *([rest] if "properties" in rest else [])]
    values = [example_value(document, part, depth=depth + 1) for part in parts]
    objects = [value for value in values if isinstance(value, dict)]
    if objects:
        return {key: value for found in objects for key, value in found.items()}
    return next((value for value in values if value is not None), None)


def _by_type(document: Document, schema: Json, depth: int) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):  # 3.1: ["string", "null"]
        kind = next((name for name in kind if name != "null"), "null")
    if kind == "object" or (kind is None and ("properties" in schema or "additionalProperties" in schema)):
        return _object(document, schema, depth)
    if kind == "array" or (kind is None and "items" in schema):
        item = example_value(document, schema.get("items"), depth=depth + 1)
        return [item] * max(1, int(schema.get("minItems") or 1)) if schema.get("maxItems") != 0 else []
    if kind in ("integer", "number"):
        return _number(schema, whole=kind == "integer")
    if kind == "boolean":
        return True
    return _string(schema) if kind == "string" else None


def _object(document: Document, schema: Json, depth: int) -> Json:
    found = {}
    for name, part in _mapping(schema.get("properties")).items():
        resolved = document.resolve(part)
        if not (isinstance(resolved, dict) and resolved.get("writeOnly")):
            found[name] = example_value(document, resolved, depth=depth + 1)
    extra = schema.get("additionalProperties")
    if not found and isinstance(extra, dict):
        found["name"] = example_value(document, extra, depth=depth + 1)
    return found


def _number(schema: Json, *, whole: bool) -> float:
    low, high = _bound(schema, "minimum", "exclusiveMinimum"), _bound(schema, "maximum", "exclusiveMaximum")
    value: float = 1
    if low is not None:
        value = low + 1
    if high is not None and value > high:
        value = high if low is None or low < high else low
    return int(value) if whole else value


def _bound(schema: Json, name: str, exclusive: str) -> float | None:
    found = [schema.get(key) for key in (name, exclusive)]
    numbers = [value for value in found if isinstance(value, (int, float)) and not isinstance(value, bool)]
    return numbers[0] if numbers else None


def _string(schema: Json) -> str:
    text = _STRINGS.get(str(schema.get("format")), "string")
    shortest, longest = schema.get("minLength"), schema.get("maxLength")
    if isinstance(shortest, int) and len(text) < shortest <= 10_000:
        text = text.ljust(shortest, "x")
    return text[:longest] if isinstance(longest, int) else text


def _mapping(value: Any) -> Json:
    return value if isinstance(value, dict) else {}
