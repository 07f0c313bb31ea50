"""An OpenAPI document as a table of operations that requests are matched with."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path template."""

    method: str
    template: str
    name: str
    definition: Json
    pattern: re.Pattern[str]


class Document:
    """Finds the operation for a request; a literal path wins over a template."""

    def __init__(self, content: Json) -> None:
        self.content = content
        self.operations = sorted(_operations(content), key=lambda operation: operation.template.count("{"))

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
        for operation in self.operations:
            if operation.method == method and (match := operation.pattern.fullmatch(path)):
                return operation, {
                    f"{name}": value for name, value in zip(_names(operation), match.groups(), strict=True)
                }
        return None

    def methods_at(self, path: str) -> list[str]:
        return sorted(
            {operation.method for operation in self.operations if operation.pattern.fullmatch(path)}
        )

    def resolve(self, node: Any) -> Any:
        """The node, or what its in-document $ref points to. Anything outside the document resolves to {}."""
        for _ in range(20):
            if not (isinstance(node, dict) and isinstance(node.get("$ref"), str)):
                return node
            node = self._target(node["$ref"])
        return {}

    def _target(self, reference: str) -> Any:
        if not reference.startswith("#/"):
            return {}
        node: Any = self.content
        for part in reference[2:].split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(node, list) and key.isdigit() and int(key) < len(node):
                node = node[int(key)]
            elif isinstance(node, dict):
                node = node.get(key, {})
            else:
                return {}
        return node


def load_document(path: Path) -> Document:
    text = path.read_text(encoding="utf-8")
    content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    if not isinstance(content, dict) or not isinstance(content.get("paths"), dict):
        raise SystemExit(f"{path}: not an OpenAPI document (no paths)")
    return Document(content)


def _operations(content: Json) -> Iterator[Operation]:
    for template, item in content["paths"].items():
        for method in METHODS:
            definition = item.get(method) if isinstance(item, dict) else None
            if isinstance(definition, dict):
                # Some documents tell operations apart by a query or a fragment in the path.
                path = re.split(r"[?#]", template, maxsplit=1)[0]
                name = definition.get("operationId") or f"{method} {template}"
                yield Operation(method.upper(), path, name, definition, _pattern(path))


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"(\{[^{}]*\})", template)
    return re.compile("".join("([^/]+)" if part.startswith("{") else re.escape(part) for part in parts))


def _names(operation: Operation) -> list[str]:
    return re.findall(r"\{([^{}]*)\}", operation.template)
