"""References: inside the document only, by JSON pointer."""

from typing import Any
from urllib.parse import unquote

from catalog.domain.errors import ExternalReference
from catalog.domain.openapi.notes import Notes

# Values under these keys are data, not structure: a `$ref` in an example is just an example.
_DATA_KEYS = frozenset({"example", "examples", "default", "enum", "const"})
_MAX_HOPS = 20


def pointer(*parts: str) -> str:
    """The JSON pointer of nested keys."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1")[:200] for part in parts)


def resolve(tree: dict[str, Any], reference: str) -> Any:
    """What `reference` points to inside `tree`, through further references; None when it is not there."""
    target: Any = {"$ref": reference}
    for _ in range(_MAX_HOPS):  # a circle of references ends here
        if not (isinstance(target, dict) and isinstance(target.get("$ref"), str)):
            return target
        target = _lookup(tree, target["$ref"])
    return None


def check_references(tree: dict[str, Any], notes: Notes) -> None:
    """Refuse references out of the document; note those that lead nowhere."""
    known: dict[str, bool] = {}
    stack: list[tuple[Any, str]] = [(tree, "")]
    while stack:
        node, at = stack.pop()
        if isinstance(node, list):
            stack.extend((value, at) for value in node if isinstance(value, dict | list))
            continue
        reference = node.get("$ref")
        if isinstance(reference, str):
            if not reference.startswith("#"):
                raise ExternalReference(reference, at=at or "/")
            if reference not in known:
                known[reference] = _lookup(tree, reference) is not None
            if not known[reference]:
                notes.add("REFERENCE_UNRESOLVED", f"{reference[:200]!r} is not in the document.", at)
        for key, value in node.items():
            if isinstance(value, dict | list) and key not in _DATA_KEYS and not key.startswith("x-"):
                stack.append((value, at if at.count("/") >= 3 else at + pointer(key)))


def _lookup(tree: dict[str, Any], reference: str) -> Any:
    if reference == "#":
        return tree
    if not reference.startswith("#/"):
        return _anchored(tree, reference)
    node: Any = tree
    for part in unquote(reference[2:]).split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict) and key in node:
            node = node[key]
        elif isinstance(node, list) and key.isdecimal() and key.isascii() and int(key[:9]) < len(node):
            node = node[int(key[:9])]
        else:
            return None
    return node


def _anchored(tree: dict[str, Any], reference: str) -> Any:
    """`#name` as OpenAPI 3.1 schemas may say it: a schema under components that carries that $anchor."""
    components = tree.get("components")
    schemas = components.get("schemas") if isinstance(components, dict) else None
    for schema in schemas.values() if isinstance(schemas, dict) else ():
        if isinstance(schema, dict) and schema.get("$anchor") == reference[1:]:
            return schema
    return None
