"""Which calls an OpenAPI document allows, simply: enough to try a stranger's API through the proxy."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

Operation = tuple[str, str, str | None]
SAMPLE: list[Operation] = [
    ("GET", "/currencies", None),
    ("GET", "/rates/EUR", None),
    ("GET", "/rates/EUR/USD?date=2026-01-30", None),
    ("POST", "/conversions", json.dumps({"from": "EUR", "to": "USD", "amount": "12.50"})),
]
_MOST = 12


def media_type(content: bytes) -> str:
    """What the document is written in, by its content: JSON is YAML too, so JSON comes first."""
    try:
        json.loads(content)
    except ValueError:
        return "application/yaml"
    return "application/json"


def operations(document: Path | None) -> list[Operation]:
    """Some operations that need nothing but path parameters; the sample's own without a document.

    ValueError for a file that is no OpenAPI document, or has nothing to call.
    """
    if document is None:
        return SAMPLE
    try:
        parsed: Any = yaml.safe_load(document.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{document} is neither JSON nor YAML: {error}") from error
    paths = parsed.get("paths") if isinstance(parsed, dict) else None
    if not isinstance(paths, dict):
        raise ValueError(f"{document} is no OpenAPI document: it has no `paths`.")
    found: list[Operation] = []
    for path, item in paths.items():
        get = item.get("get") if isinstance(item, dict) else None
        if isinstance(get, dict) and not get.get("requestBody"):
            found.append(("GET", re.sub(r"\{[^}]*\}", "1", path), None))
    if not found:
        raise ValueError(f"{document} has no GET operation to call.")
    return found[:_MOST]
