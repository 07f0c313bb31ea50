"""Bytes to a tree of plain values: JSON or YAML, within limits."""

import json
import math
from typing import Any

from catalog.domain.errors import DocumentTooComplex, DocumentTooLarge, DocumentUnreadable
from catalog.domain.openapi.limits import Limits
from catalog.domain.openapi.yaml_tree import yaml_tree


def parse(raw: bytes, *, content_type: str, limits: Limits) -> dict[str, Any]:
    """The document as a mapping. JSON by its content type or its first character, else YAML."""
    if len(raw) > limits.max_bytes:
        raise DocumentTooLarge(limits.max_bytes)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentUnreadable(f"The document is not UTF-8 (byte {error.start}).") from error
    is_json = "json" in content_type.lower() or text.lstrip()[:1] == "{"
    tree = (
        _json_tree(text) if is_json and "yaml" not in content_type.lower() else yaml_tree(text, limits=limits)
    )
    if not isinstance(tree, dict):
        raise DocumentUnreadable("An OpenAPI document is an object; this one is not.")
    _check_size(tree, limits)
    return tree


def _json_tree(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise DocumentUnreadable(
            f"Not JSON: {error.msg} in line {error.lineno}, column {error.colno}."
        ) from error
    except RecursionError as error:
        raise DocumentTooComplex("The document is nested too deeply.") from error
    except ValueError as error:  # an integer of thousands of digits
        raise DocumentUnreadable("The document holds a number that cannot be read.") from error


def _refuse_constant(name: str) -> Any:
    raise DocumentUnreadable(f"Not JSON: {name} is no JSON number.")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise DocumentUnreadable("The document holds a number that is too large.")
    return number


def _check_size(tree: dict[str, Any], limits: Limits) -> None:
    """Refuse what is nested too deeply or holds too many values; iterative, so that depth cannot hurt it."""
    level: list[Any] = [tree]
    depth = nodes = 0
    while level:
        depth += 1
        nodes += len(level)
        if depth > limits.max_depth:
            raise DocumentTooComplex(f"The document is nested more than {limits.max_depth} levels deep.")
        if nodes > limits.max_nodes:
            raise DocumentTooComplex(f"The document holds more than {limits.max_nodes} values.")
        below: list[Any] = []
        for node in level:
            if isinstance(node, dict):
                below.extend(node.values())
            elif isinstance(node, list):
                below.extend(node)
        level = below
